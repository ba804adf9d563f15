//! RC05xx: journal and take-down.

codes! {
    /// The journal cannot be read or written.
    ///
    /// Before it changes anything, the daemon writes down what was there:
    /// /var/lib/router-ctl/INSTANCE.journal is what `down` puts back.
    ///
    /// Causes:
    /// - the disk is full or read-only
    /// - the file was damaged or edited
    ///
    /// Mend:
    /// - make room and start again
    /// - if it is damaged: see what it says, put back by hand what is still
    ///   changed, and remove it
    JOURNAL = "RC0501";
    /// Something that was done could not be undone.
    ///
    /// Causes:
    /// - somebody else changed or uses it meanwhile: a sub-interface that is in
    ///   use, a route that was replaced
    ///
    /// Mend:
    /// - mend what the cause names and run `router-ctl down` again: it goes on
    ///   where it stopped
    UNDO = "RC0502";
    /// The daemon was ended while it was starting.
    ///
    /// What it had done by then is put back.
    ///
    /// Causes:
    /// - SIGTERM or SIGINT came before everything was up: `systemctl stop`,
    ///   Ctrl-C, or a start that took longer than systemd's limit
    ///
    /// Mend:
    /// - start it again; where starting takes long, raise TimeoutStartSec= of
    ///   the unit
    INTERRUPTED = "RC0503";
    /// The instance has changed another network namespace, and that is not put
    /// back.
    ///
    /// One journal is about one network namespace: a second one would lose what
    /// the first one holds.
    ///
    /// Causes:
    /// - `run` or `down` in another network namespace than before
    /// - the namespace was removed without `down`
    ///
    /// Mend:
    /// - put it back first: nsenter --net=/run/netns/NAME router-ctl down
    /// - if that namespace is gone, so are the changes: remove the journal
    JOURNAL_ELSEWHERE = "RC0504";
    /// What the daemon has to remember through a restart cannot be written.
    ///
    /// Nothing was changed: it is written first.
    ///
    /// Causes:
    /// - /var/lib/router-ctl is full or read-only
    ///
    /// Mend:
    /// - make room there and do it again
    STATE = "RC0505";
    /// `down` found pins and no journal: XDP is detached, and nothing else is put
    /// back.
    ///
    /// What the daemon changes is written down nowhere else.
    ///
    /// Causes:
    /// - /var/lib/router-ctl was cleared, or is another one in this container
    ///
    /// Mend:
    /// - look through what `help:` names: routes, sub-interfaces, addresses,
    ///   forwarding, promiscuous mode and offloads of the trunks
    JOURNAL_LOST = "RC0506";
}
