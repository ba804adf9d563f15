//! Sysctls of this network namespace, under `/proc/sys/net`.
//!
//! A sysctl is named by its path there, as in `ipv4/conf/eth0.100/forwarding`:
//! the dots of interface names make sysctl(8)'s names ambiguous.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use router_common::wire::IfIndex;

use crate::netlink::{Netconf, Scope};

/// Where the sysctls are.
#[derive(Clone, Debug)]
pub struct Sysctls {
    root: PathBuf,
}

impl Default for Sysctls {
    fn default() -> Self {
        Self::at("/proc/sys/net")
    }
}

impl Sysctls {
    /// Sysctls under `root`, for tests.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The value, without white space around it; `None`: this kernel, or this
    /// interface, has no such sysctl.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.path(name)?) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The value as a number; `None`: there is no such sysctl, or it is not a
    /// number.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn number(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(self.read(name)?.and_then(|text| text.parse().ok()))
    }

    /// Writes the value.
    ///
    /// # Errors
    /// If there is no such sysctl, or it cannot be written.
    pub fn write(&self, name: &str, value: &str) -> io::Result<()> {
        // Not `fs::write`: a missing sysctl must not become a file where the
        // root is a test's.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.path(name)?)?;
        io::Write::write_all(&mut file, value.as_bytes())
    }

    /// Every name below `family/conf` (`ipv4` or `ipv6`): the interfaces, and
    /// `all` and `default`.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn interfaces(&self, family: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(self.root.join(family).join("conf")) {
            Ok(entries) => entries,
            // Without IPv6.
            Err(error) if is_missing(&error) => return Ok(names),
            Err(error) => return Err(error),
        };
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// What decides whether and how the kernel forwards, for the namespace and
    /// for `interfaces`.
    ///
    /// # Errors
    /// If a sysctl is there and cannot be read.
    pub fn forwarding<'a>(
        &self,
        interfaces: impl IntoIterator<Item = (IfIndex, &'a str)>,
    ) -> io::Result<Forwarding> {
        let mut forwarding = self.namespace()?;
        for (ifindex, name) in interfaces {
            forwarding.interfaces.insert(ifindex, self.interface(name)?);
        }
        Ok(forwarding)
    }

    /// The namespace's part of [`forwarding`](Self::forwarding).
    ///
    /// # Errors
    /// As there.
    pub fn namespace(&self) -> io::Result<Forwarding> {
        let number = |name: &str| Ok::<_, io::Error>(self.number(name)?.unwrap_or(0));
        Ok(Forwarding {
            v4: number("ipv4/conf/all/forwarding")? != 0,
            rp_filter: number("ipv4/conf/all/rp_filter")?,
            v6: number("ipv6/conf/all/forwarding")? != 0,
            v6_proxy_ndp: number("ipv6/conf/all/proxy_ndp")? != 0,
            v4_hash_policy: number("ipv4/fib_multipath_hash_policy")?,
            v6_hash_policy: number("ipv6/fib_multipath_hash_policy")?,
            tos_priority: self
                .number("ipv4/ip_forward_update_priority")?
                .is_none_or(|value| value != 0),
            v4_redirects: number("ipv4/conf/all/accept_redirects")? != 0,
            v4_uses_pmtu: number("ipv4/ip_forward_use_pmtu")? != 0,
            interfaces: BTreeMap::new(),
        })
    }

    /// An interface's part of [`forwarding`](Self::forwarding).
    ///
    /// # Errors
    /// As there.
    pub fn interface(&self, name: &str) -> io::Result<InterfaceForwarding> {
        let number = |key: String| Ok::<_, io::Error>(self.number(&key)?.unwrap_or(0));
        let v4 = |key| number(format!("ipv4/conf/{name}/{key}"));
        let v6 = |key| number(format!("ipv6/conf/{name}/{key}"));
        Ok(InterfaceForwarding {
            v4: v4("forwarding")? != 0,
            rp_filter: v4("rp_filter")?,
            v4_redirects: v4("accept_redirects")? != 0,
            v6_forced: v6("force_forwarding")? != 0,
            v6_disabled: v6("disable_ipv6")? != 0,
            v6_mtu: match v6("mtu")? {
                0 => None,
                mtu => Some(mtu),
            },
        })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let name = Path::new(name);
        // Names come from the journal, too: they stay below the root.
        let plain = name
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.root.join(name))
    }
}

/// Whether there is no such sysctl, or its interface has gone.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// Sysctls that decide whether and how the kernel forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// `ipv4.conf.all.forwarding`, which is `ipv4.ip_forward`. Each interface
    /// has its own, which is what the kernel asks.
    pub v4: bool,
    /// `ipv4.conf.all.rp_filter`: 0, 1 or 2.
    pub rp_filter: u32,
    /// `ipv6.conf.all.forwarding`.
    pub v6: bool,
    /// `ipv6.conf.all.proxy_ndp`: a destination may be answered by proxy.
    pub v6_proxy_ndp: bool,
    /// `ipv4.fib_multipath_hash_policy`: 0 is addresses only.
    pub v4_hash_policy: u32,
    /// The same for IPv6.
    pub v6_hash_policy: u32,
    /// `ipv4.ip_forward_update_priority`: forwarding sets `skb->priority` from
    /// the TOS. The default.
    pub tos_priority: bool,
    /// `ipv4.conf.all.accept_redirects`.
    pub v4_redirects: bool,
    /// `ipv4.ip_forward_use_pmtu`: a path MTU that was learnt limits what is
    /// forwarded, too.
    pub v4_uses_pmtu: bool,
    /// By interface.
    pub interfaces: BTreeMap<IfIndex, InterfaceForwarding>,
}

impl Forwarding {
    /// Whether the kernel believes ICMP redirects that come in on an interface of
    /// this namespace (`IN_DEV_RX_REDIRECTS`, include/linux/inetdevice.h).
    #[must_use]
    pub const fn believes_redirects(&self, interface: &InterfaceForwarding) -> bool {
        if interface.v4 {
            self.v4_redirects && interface.v4_redirects
        } else {
            self.v4_redirects || interface.v4_redirects
        }
    }

    /// Takes over what the kernel has announced. Whether it is news.
    pub fn announced(&mut self, conf: &Netconf) -> bool {
        let before = (self.v4, self.rp_filter, self.v6, self.v6_proxy_ndp);
        match (conf.v6, conf.scope) {
            (false, Scope::All) => {
                take(&mut self.v4, conf.forwarding);
                take(&mut self.rp_filter, conf.rp_filter);
            }
            (true, Scope::All) => {
                take(&mut self.v6, conf.forwarding);
                take(&mut self.v6_proxy_ndp, conf.proxy);
            }
            (false, Scope::Device(ifindex)) => {
                // One that is none of ours is not known, and stays so.
                let Some(interface) = self.interfaces.get_mut(&ifindex) else {
                    return false;
                };
                let before = *interface;
                take(&mut interface.v4, conf.forwarding);
                take(&mut interface.rp_filter, conf.rp_filter);
                return *interface != before;
            }
            // The kernel's IPv6 forwarding is the namespace's.
            (true, Scope::Device(_)) | (_, Scope::Default) => {}
        }
        before != (self.v4, self.rp_filter, self.v6, self.v6_proxy_ndp)
    }
}

fn take<T>(known: &mut T, announced: Option<T>) {
    if let Some(value) = announced {
        *known = value;
    }
}

/// Those of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceForwarding {
    /// `ipv4.conf.IF.forwarding`.
    pub v4: bool,
    /// `ipv4.conf.IF.rp_filter`: 0, 1 or 2.
    pub rp_filter: u32,
    /// `ipv4.conf.IF.accept_redirects`.
    pub v4_redirects: bool,
    /// `ipv6.conf.IF.force_forwarding` (6.17 and later).
    pub v6_forced: bool,
    /// `ipv6.conf.IF.disable_ipv6`: the kernel drops IPv6 that comes in or goes
    /// out here.
    pub v6_disabled: bool,
    /// `ipv6.conf.IF.mtu` in bytes.
    pub v6_mtu: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Sysctls) {
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let sysctls = Sysctls::at(dir.path());
        (dir, sysctls)
    }

    #[test]
    fn interface_names_keep_their_dots() {
        let name = "ipv4/conf/eth0.100/forwarding";
        let (_dir, sysctls) = tree(&[(name, "0")]);
        sysctls.write(name, "1").unwrap();
        assert_eq!(sysctls.read(name).unwrap().as_deref(), Some("1"));
        assert_eq!(sysctls.interfaces("ipv4").unwrap(), ["eth0.100"]);
        assert!(sysctls.interfaces("ipv6").unwrap().is_empty());
    }

    #[test]
    fn missing_sysctls_are_none_and_are_not_made() {
        let (_dir, sysctls) = tree(&[]);
        assert_eq!(sysctls.read("ipv4/ip_forward").unwrap(), None);
        assert!(sysctls.write("ipv4/ip_forward", "1").is_err());
        assert_eq!(sysctls.read("ipv4/ip_forward").unwrap(), None);
    }

    #[test]
    fn names_stay_below_the_root() {
        let (_dir, sysctls) = tree(&[]);
        for name in ["/etc/passwd", "../x", "ipv4/../../x"] {
            assert!(sysctls.read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_announced_is_taken_over() {
        let ours = IfIndex::new(3);
        let mut forwarding = Forwarding::default();
        forwarding
            .interfaces
            .insert(ours, InterfaceForwarding::default());
        let mut hear = |v6, scope, forward, rp_filter| {
            let news = forwarding.announced(&Netconf {
                v6,
                scope,
                forwarding: forward,
                rp_filter,
                proxy: None,
            });
            (news, forwarding.clone())
        };
        assert!(hear(false, Scope::All, Some(true), None).0);
        let (news, known) = hear(false, Scope::Device(ours), Some(true), Some(2));
        assert!(news && known.v4 && !known.v6);
        assert!(known.interfaces[&ours].v4);
        assert_eq!((known.rp_filter, known.interfaces[&ours].rp_filter), (0, 2));
        assert!(
            !hear(false, Scope::Device(ours), Some(true), Some(2)).0,
            "old"
        );
        assert!(!hear(true, Scope::Device(ours), Some(true), None).0);
        assert!(!hear(true, Scope::Default, Some(true), None).0);
        let (news, known) = hear(true, Scope::All, Some(true), None);
        assert!(news && known.v6);
        let (news, known) = hear(false, Scope::Device(IfIndex::new(9)), Some(true), None);
        assert!(!news && known.interfaces.len() == 1, "none of ours");
    }

    #[test]
    fn redirects_are_believed_as_the_kernel_does() {
        for (v4, all, own, believed) in [
            (true, false, false, false),
            (true, false, true, false),
            (true, true, false, false),
            (true, true, true, true),
            (false, false, false, false),
            (false, false, true, true),
            (false, true, false, true),
        ] {
            let namespace = Forwarding {
                v4_redirects: all,
                ..Forwarding::default()
            };
            let interface = InterfaceForwarding {
                v4,
                v4_redirects: own,
                ..InterfaceForwarding::default()
            };
            assert_eq!(
                namespace.believes_redirects(&interface),
                believed,
                "forwarding {v4}, all {all}, own {own}"
            );
        }
    }

    #[test]
    fn forwarding_is_read_with_the_kernels_defaults() {
        let (_dir, sysctls) = tree(&[
            ("ipv4/conf/all/rp_filter", "2"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/eth0/forwarding", "1"),
            ("ipv6/conf/eth0/mtu", "1280"),
            ("ipv4/ip_forward_use_pmtu", "1"),
            ("ipv4/conf/eth0/accept_redirects", "1"),
        ]);
        let read = sysctls.forwarding([(IfIndex::new(3), "eth0")]).unwrap();
        assert_eq!(read.rp_filter, 2);
        assert!(read.v6 && read.tos_priority && !read.v6_proxy_ndp && read.v4_uses_pmtu);
        let eth0 = read.interfaces[&IfIndex::new(3)];
        assert!(eth0.v4_redirects && !read.v4_redirects);
        assert!(eth0.v4 && !eth0.v6_forced && !eth0.v6_disabled);
        assert_eq!(eth0.v6_mtu, Some(1280));
    }
}
