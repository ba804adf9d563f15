//! What the threads of a process are doing: for one that does not answer.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Each thread of the process: its name, state, system call, and where in the
/// kernel it waits, as far as the kernel tells.
#[must_use]
pub fn of(process: u32) -> String {
    let mut threads: Vec<PathBuf> = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    threads.sort();
    if threads.is_empty() {
        return format!("process {process} is gone\n");
    }
    threads.iter().map(|thread| describe(thread)).collect()
}

fn describe(thread: &Path) -> String {
    let read = |file: &str| {
        let text = fs::read_to_string(thread.join(file)).unwrap_or_default();
        text.trim_end().to_owned()
    };
    let status = read("status");
    let field = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    let mut text = format!(
        "thread {} {}: {}, system call {}, waits in {}, switched {} + {} times\n",
        field("Pid"),
        field("Name"),
        field("State"),
        read("syscall"),
        read("wchan"),
        field("voluntary_ctxt_switches"),
        field("nonvoluntary_ctxt_switches"),
    );
    for line in read("stack").lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_described() {
        let text = of(std::process::id());
        assert!(text.contains(": R (running), system call "), "{text}");
        assert_eq!(of(u32::MAX), format!("process {} is gone\n", u32::MAX));
    }
}
