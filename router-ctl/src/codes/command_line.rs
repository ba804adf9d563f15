//! RC00xx: the command line.

codes! {
    /// The command line does not say what to do: unknown or missing words.
    ///
    /// Causes:
    /// - a misspelt command, verb or option
    /// - a word that a verb of `routes` does not know, or one whose value is
    ///   missing: `via` without an address
    /// - options that exclude each other, such as -4 and -6
    /// - a shortened command that could be two: `router-ctl ne` is networks or
    ///   neigh
    ///
    /// Mend:
    /// - the error names the word; `router-ctl COMMAND --help` shows what the
    ///   command takes, with examples
    USAGE = "RC0001";
    /// Standard output or standard error could not be written.
    ///
    /// A closed pipe, as in `router-ctl routes | head`, is not an error.
    ///
    /// Causes:
    /// - the disk that the output is redirected to is full
    /// - `man DIRECTORY`: the directory is missing, or not yours to write
    ///
    /// Mend:
    /// - the cause is the kernel's own words; make room, or write elsewhere
    OUTPUT = "RC0002";
    /// The event loop could not be started: out of memory or file descriptors.
    ///
    /// Causes:
    /// - a very low limit of open files or of processes
    /// - no memory left
    ///
    /// Mend:
    /// - `ulimit -n` and `ulimit -u` show the limits; raise the one that is low
    RUNTIME = "RC0003";
    /// There is no such error code.
    ///
    /// Causes:
    /// - a mistyped number
    /// - a code of a newer router-ctl than this one
    ///
    /// Mend:
    /// - `router-ctl explain` lists all codes that this version knows
    CODE_UNKNOWN = "RC0004";
}
