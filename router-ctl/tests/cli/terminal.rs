//! What people see: the real program in a real terminal, which tmux plays.

use std::{
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use router_ctl::api::{
    event::What,
    model::{Problem, State},
};

use crate::{
    said,
    twin::{self, Daemon},
};

/// A terminal with a shell in it that asks the twin.
struct Terminal {
    /// tmux's own: other people's sessions are not ours.
    server: String,
}

impl Terminal {
    /// `None`, with a SKIP line, where there is no tmux.
    fn open(test: &str, daemon: &Daemon, shell: &str) -> Option<Self> {
        if !twin::has_program("tmux") {
            println!("SKIP {test}: tmux is not installed; `cargo xtask setup` brings it");
            return None;
        }
        let terminal = Self {
            server: format!("router-ctl-{}-{test}", std::process::id()),
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_router-ctl"));
        let path = format!(
            "{}:{}",
            binary.parent().unwrap().display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let home = daemon.socket.parent().unwrap();
        let command = format!(
            "env -u NO_COLOR -u ROUTER_CTL_INSTANCE HOME={} TZ=UTC PATH='{path}' PS1='$ ' ROUTER_CTL_SOCKET={} {shell}",
            home.display(),
            daemon.socket.display()
        );
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "140",
            "-y",
            "40",
            &command,
        ]);
        terminal.shows("$");
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Output {
        let output = Command::new("tmux")
            .args(["-L", &self.server])
            .args(words)
            // Within somebody's tmux it would mean that one.
            .env_remove("TMUX")
            .env("TERM", "xterm-256color")
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    /// Types, as a person does.
    fn keys(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn run(&self, line: &str) {
        self.keys(line);
        self.press("Enter");
    }

    /// What is on the screen.
    fn screen(&self) -> String {
        said(&self.tmux(&["capture-pane", "-p"])).0
    }

    /// The same with its colours.
    fn colours(&self) -> String {
        said(&self.tmux(&["capture-pane", "-p", "-e"])).0
    }

    /// Waits until it is on the screen.
    fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    fn until(&self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if seen(&screen) {
                return screen;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{what} never came:\n{screen}"
            );
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Ctrl-C gives the shell back.
    fn interrupt(&self) {
        self.press("C-c");
        self.run("echo over and $((1 + 1))");
        self.shows("over and 2");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .env_remove("TMUX")
            .output();
    }
}

#[test]
fn status_has_colours_and_says_what_to_do() {
    let daemon = Daemon::start();
    let Some(terminal) = Terminal::open("status_has_colours_and_says_what_to_do", &daemon, "sh")
    else {
        return;
    };
    terminal.run("router-ctl; echo good $?");
    let screen = terminal.shows("good 0");
    assert!(screen.contains("forwarding  up 3d4h"), "{screen}");
    let colours = terminal.colours();
    // Green and bold, in whichever order tmux says it.
    let state = colours.split("forwarding").next().unwrap();
    let last = state.rsplit('\x1b').next().unwrap();
    assert!(last.contains("32"), "{colours:?}");

    daemon.set(State::Degraded);
    terminal.run("clear; router-ctl; echo code $?");
    let screen = terminal.shows("code 5");
    assert!(
        screen.contains("Problem   IPv4 forwarding is off  help: sysctl -w net.ipv4.ip_forward=1"),
        "{screen}"
    );
    terminal.run("clear; router-ctl --color never; echo plain $?");
    terminal.shows("plain 5");
    let colours = terminal.colours();
    assert!(!colours.contains("\x1b[1m"), "{colours:?}");
}

#[test]
fn tables_are_aligned_below_their_headers() {
    let daemon = Daemon::start();
    let Some(terminal) = Terminal::open("tables_are_aligned_below_their_headers", &daemon, "sh")
    else {
        return;
    };
    terminal.run("clear; router-ctl networks; router-ctl neigh");
    let screen = terminal.shows("192.0.2.1");
    let lines: Vec<&str> = screen.lines().collect();
    for (header, row) in [("STATE", "mac20"), ("STATE", "172.16.10.99")] {
        let row = lines.iter().position(|line| line.starts_with(row)).unwrap();
        let above = lines[..row].iter().rev();
        let header = above
            .clone()
            .find_map(|line| line.find(header))
            .unwrap_or_else(|| panic!("no header in\n{screen}"));
        let cell = &lines[row][header..];
        assert!(cell == "up" || cell == "FAILED", "{cell} in\n{screen}");
        assert_eq!(&lines[row][header - 2..header], "  ", "{screen}");
    }
    // The header is bold.
    assert!(
        terminal.colours().contains("\x1b[1mNAME"),
        "{:?}",
        terminal.colours()
    );
}

#[test]
fn watching_redraws_in_place_until_ctrl_c() {
    let daemon = Daemon::start();
    let Some(terminal) = Terminal::open("watching_redraws_in_place_until_ctrl_c", &daemon, "sh")
    else {
        return;
    };
    terminal.run("router-ctl stats --watch 0.2");
    terminal.until("rates", |screen| {
        screen
            .lines()
            .any(|line| line.starts_with("arp") && line.trim_end().ends_with('0'))
    });
    daemon.arp(991);
    let screen = terminal.shows("1000");
    assert_eq!(screen.matches("VERDICT").count(), 1, "{screen}");
    assert!(
        !screen.contains("router-ctl stats"),
        "it begins at the top:\n{screen}"
    );
    terminal.until("a rate", |screen| {
        screen.lines().any(|line| {
            let rate = line
                .split_whitespace()
                .last()
                .and_then(|word| word.parse::<f64>().ok());
            line.starts_with("arp") && rate.is_some()
        })
    });
    terminal.interrupt();
}

#[test]
fn monitor_shows_what_happens_until_ctrl_c() {
    let daemon = Daemon::start();
    let Some(terminal) = Terminal::open("monitor_shows_what_happens_until_ctrl_c", &daemon, "sh")
    else {
        return;
    };
    terminal.run("clear; router-ctl monitor");
    terminal.shows("  state forwarding");
    let problem = |gone| What::Problem {
        gone,
        problem: Problem {
            message: "enp0s3.100 is down".to_owned(),
            help: "ip link set enp0s3.100 up".to_owned(),
        },
    };
    daemon.twin.hub.say(problem(false));
    terminal.shows("  problem enp0s3.100 is down  help: ip link set enp0s3.100 up");
    daemon.twin.hub.say(problem(true));
    let screen = terminal.shows("  problem gone: enp0s3.100 is down");
    assert_eq!(
        screen.lines().filter(|line| !line.is_empty()).count(),
        3,
        "{screen}"
    );
    assert!(
        terminal.colours().contains("\x1b[1m"),
        "{:?}",
        terminal.colours()
    );
    terminal.interrupt();
}

#[test]
fn the_manual_is_read_in_a_pager() {
    let daemon = Daemon::start();
    if !twin::has_program("man") {
        println!("SKIP the_manual_is_read_in_a_pager: man is not installed");
        return;
    }
    let Some(terminal) = Terminal::open("the_manual_is_read_in_a_pager", &daemon, "sh") else {
        return;
    };
    terminal.run("PAGER=cat MANPAGER=cat router-ctl man | head -5");
    terminal.shows(".TH router-ctl 1");
    terminal.run("clear; MANPAGER='head -12' router-ctl man; echo all re''ad");
    let screen = terminal.shows("all read");
    assert!(screen.contains("SYNOPSIS"), "{screen}");
    assert!(!screen.contains(".SH"), "{screen}");
}

#[test]
fn tab_completes_live_names_in_bash() {
    let daemon = Daemon::start();
    let Some(terminal) = Terminal::open(
        "tab_completes_live_names_in_bash",
        &daemon,
        "bash --norc --noprofile",
    ) else {
        return;
    };
    terminal.run("clear; source <(router-ctl completions bash); echo sour''ced");
    terminal.shows("sourced");
    terminal.keys("router-ctl rou");
    terminal.press("Tab");
    terminal.shows("router-ctl routes");
    terminal.keys("add 10.9.0.0/16 dev mac1");
    terminal.press("Tab");
    terminal.shows("router-ctl routes add 10.9.0.0/16 dev mac10");
    terminal.press("C-u");
    terminal.keys("router-ctl --color=al");
    terminal.press("Tab");
    terminal.shows("router-ctl --color=always");
}

#[test]
fn tab_completes_live_names_in_zsh() {
    let test = "tab_completes_live_names_in_zsh";
    let daemon = Daemon::start();
    if !twin::has_program("zsh") {
        println!("SKIP {test}: zsh is not installed");
        return;
    }
    let Some(terminal) = Terminal::open(test, &daemon, "zsh -f") else {
        return;
    };
    terminal.run("clear; autoload -U compinit; compinit -D; source <(router-ctl completions zsh); echo sour''ced");
    terminal.shows("sourced");
    terminal.keys("router-ctl neigh dev mac1");
    terminal.press("Tab");
    terminal.shows("router-ctl neigh dev mac10");
    terminal.press("C-u");
    terminal.keys("router-ctl neigh dev mac");
    terminal.press("Tab");
    let screen = terminal.shows("172.16.20.1/24");
    assert!(
        screen.contains("mac10  -- vlan 100 172.16.10.1/24"),
        "{screen}"
    );
    terminal.press("C-u");
    terminal.keys("router-ctl explain RC010");
    terminal.press("Tab");
    terminal.shows("RC0107");
}
