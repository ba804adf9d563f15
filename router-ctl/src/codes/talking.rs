//! RC02xx: talking to the daemon.

// RC0207 is retired: a daemon that is degraded is no error, `status` says it.
codes! {
    /// No daemon of this instance is running.
    ///
    /// All commands but `run`, `down`, `config check`, `version`, `explain`,
    /// `man` and `completions` ask the daemon, over
    /// /run/router-ctl/INSTANCE.sock.
    ///
    /// Causes:
    /// - it was never started, or it has ended
    /// - it runs under another name: `--instance NAME`
    ///
    /// Mend:
    /// - systemctl start router-ctl@default, or `router-ctl run`
    /// - see why it ended: journalctl -u router-ctl@default
    /// - see which instances there are: ls /run/router-ctl
    NOT_RUNNING = "RC0201";
    /// The user may not talk to the daemon, or may only read.
    ///
    /// root may do everything, members of the group router-ctl may look, nobody
    /// else may connect.
    ///
    /// Causes:
    /// - the command runs without sudo
    /// - the user is not in the group router-ctl, or has not logged in anew
    ///   since joining it
    ///
    /// Mend:
    /// - run the command with sudo
    /// - to read only: sudo usermod -aG router-ctl $USER, and log in anew
    NOT_PERMITTED = "RC0202";
    /// A daemon of this instance is running already.
    ///
    /// Causes:
    /// - it was started twice, by hand and by systemd
    /// - a second router was meant, and both have the same name
    ///
    /// Mend:
    /// - `router-ctl status` shows the one that runs
    /// - give the second one a name: `router-ctl run --instance NAME`
    ALREADY_RUNNING = "RC0203";
    /// The daemon's socket could not be made.
    ///
    /// Causes:
    /// - the daemon does not run as root, or not with its systemd unit
    /// - /run/router-ctl is on a full or read-only file system
    ///
    /// Mend:
    /// - run it with sudo, or as the unit: systemctl start router-ctl@default
    SOCKET = "RC0204";
    /// The daemon did not answer, or not as it should.
    ///
    /// Causes:
    /// - it is busy with something long, or hangs: then systemd's watchdog
    ///   restarts it
    /// - it ended while it was asked
    /// - the command and the daemon are of very different versions
    ///
    /// Mend:
    /// - try again; compare `router-ctl version` with what `router-ctl status`
    ///   says, and restart the daemon after an upgrade: forwarding goes on
    /// - its log: journalctl -u router-ctl@default
    NO_ANSWER = "RC0205";
    /// The daemon does not understand the request: another version, mostly.
    ///
    /// Causes:
    /// - a command that is newer than the daemon
    /// - a program of somebody else's that uses the API wrongly: an unknown
    ///   path, query or field, or a body above the limit
    ///
    /// Mend:
    /// - restart the daemon after an upgrade: systemctl restart
    ///   router-ctl@default (forwarding goes on)
    /// - the API's shapes are in docs/api.schema.json
    BAD_REQUEST = "RC0206";
    /// Too many readers follow the daemon: `router-ctl monitor`.
    ///
    /// They keep their connection, and there must be some left for the others.
    ///
    /// Causes:
    /// - scripts that start `monitor` and do not end it
    ///
    /// Mend:
    /// - see who they are: ss -xp | grep router-ctl; end those that are not
    ///   needed
    TOO_MANY_READERS = "RC0208";
    /// Others are being sent long listings (routes, neighbours, metrics), and
    /// none of them came to an end in time.
    ///
    /// Such an answer is as long as the kernel's tables, so a few at a time are
    /// made. Those who may change the router do not wait for those who may only
    /// look.
    ///
    /// Causes:
    /// - scripts that ask for listings all the time, or do not read the answer
    ///
    /// Mend:
    /// - try again: a reader that takes nothing is broken off after ten seconds
    /// - see who they are: ss -xp | grep router-ctl
    TOO_MANY_LISTINGS = "RC0209";
}
