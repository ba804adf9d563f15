//! Putting another configuration into force, in an order that opens no hole:
//!
//! ```text
//! leave out   frames of networks that go or change pass up: the kernel forwards
//! detach      XDP from trunks that go, or are to have it in another way
//! retire      addresses, routes, sub-interfaces that are not wanted any more
//! bring up    those that are new
//! put in force  numbers, and the maps: the new networks are XDP's, too
//! attach      XDP to trunks that are new
//! settle      now that those can be redirected to
//! ```
//!
//! What both have is touched by none of these. What went wrong is undone by
//! going the same way back: every step says where it leads, not where it comes
//! from, so it does not matter how far the way there was gone.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use crate::{
    codes,
    config::{Config, Network, PcpPolicy, Trunk, XdpMode},
    error::{Error, Kind},
};

/// What the steps are done with.
pub(super) trait Machine {
    /// From now on the kernel forwards for these networks, and XDP does not.
    async fn leave_out(&mut self, networks: &BTreeSet<String>) -> Result<(), Error>;
    /// Detaches XDP from a trunk, if it is attached.
    async fn detach(&mut self, trunk: &str) -> Result<(), Error>;
    /// Undoes what `config` has no use for.
    async fn retire(&mut self, config: &Config) -> Result<(), Error>;
    /// Does what `config` wants and is not there.
    async fn bring_up(&mut self, config: &Config) -> Result<(), Error>;
    /// Makes `config` the one that the maps follow; no network is left out.
    async fn put_in_force(&mut self, config: &Config) -> Result<(), Error>;
    /// Attaches XDP to a trunk as it says, unless it is.
    async fn attach(&mut self, trunk: &Trunk) -> Result<(), Error>;
    /// Lets the maps follow what was attached.
    async fn settle(&mut self) -> Result<(), Error>;
}

/// Puts `new` into force in place of `old`.
///
/// # Errors
/// Why not; `old` is in force again then, or the error says that it is not.
pub(super) async fn apply(
    old: &Config,
    new: &Config,
    machine: &mut impl Machine,
) -> Result<(), Error> {
    let Err(error) = go(old, new, machine).await else {
        return Ok(());
    };
    if old == new {
        // Nothing was changed that could be put back.
        return Err(error);
    }
    warn!(%error, "cannot apply the configuration: going back");
    let failed = |code, message: &str, cause: String| {
        let failed = Error::new(Kind::Failed, code, message).cause(cause);
        Error {
            help: error.help.clone(),
            ..failed
        }
    };
    match go(new, old, machine).await {
        Ok(()) => Err(failed(
            codes::APPLY_FAILED,
            "the configuration was not applied: the one before is in force",
            format!("{error} ({})", error.code),
        )),
        Err(back) => Err(failed(
            codes::APPLY_HALF_UNDONE,
            "the configuration was not applied, and the one before could not be put back entirely",
            format!("{error} ({}); then {back} ({})", error.code, back.code),
        )),
    }
}

/// What would be done, for a machine that only notes it.
pub(super) async fn go(
    old: &Config,
    new: &Config,
    machine: &mut impl Machine,
) -> Result<(), Error> {
    let moving = moving(old, new);
    if !moving.is_empty() {
        machine.leave_out(&moving).await?;
    }
    let [before, after] = [old, new].map(attached);
    for (name, mode) in &before {
        if after.get(name) != Some(mode) {
            machine.detach(name).await?;
        }
    }
    machine.retire(new).await?;
    machine.bring_up(new).await?;
    machine.put_in_force(new).await?;
    // Those that are attached already stay as they are. The way back may have
    // to attach what the way there detached.
    for trunk in &new.trunks {
        if trunk.xdp != XdpMode::Off {
            machine.attach(trunk).await?;
        }
    }
    machine.settle().await
}

/// How XDP is on each trunk that has it.
fn attached(config: &Config) -> BTreeMap<&str, XdpMode> {
    let trunks = config.trunks.iter();
    trunks
        .filter(|trunk| trunk.xdp != XdpMode::Off)
        .map(|trunk| (trunk.interface.as_str(), trunk.xdp))
        .collect()
}

/// A network without what only the maps know.
fn essence(network: &Network) -> Network {
    Network {
        pcp: PcpPolicy::default(),
        ..network.clone()
    }
}

/// Networks, of either configuration, that are not the same in both. Where only
/// the priorities are another matter, the maps can change under traffic.
fn moving(old: &Config, new: &Config) -> BTreeSet<String> {
    let by_name = |config: &Config| -> BTreeMap<String, Network> {
        let networks = config.networks.iter();
        networks
            .map(|network| (network.name.clone(), essence(network)))
            .collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let names = old.keys().chain(new.keys());
    names
        .filter(|name| old.get(*name) != new.get(*name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A router in memory: what it does, and what it is then.
    #[derive(Debug, Default)]
    struct Twin {
        /// Every step, in words.
        log: Vec<String>,
        /// Networks that XDP forwards for.
        forwarding: BTreeMap<String, Network>,
        left_out: BTreeSet<String>,
        /// Networks that the kernel has: sub-interfaces and addresses.
        kernel: BTreeMap<String, Network>,
        attached: BTreeMap<String, XdpMode>,
        in_force: Config,
        /// The step, counted from 0, that fails; and how many after it do.
        fails: Option<(usize, usize)>,
    }

    impl Twin {
        fn running(config: &Config) -> Self {
            let networks = || {
                let networks = config.networks.iter();
                networks
                    .map(|network| (network.name.clone(), network.clone()))
                    .collect::<BTreeMap<_, _>>()
            };
            Self {
                forwarding: networks(),
                kernel: networks(),
                attached: attached(config)
                    .into_iter()
                    .map(|(name, mode)| (name.to_owned(), mode))
                    .collect(),
                in_force: config.clone(),
                ..Self::default()
            }
        }

        fn step(&mut self, step: String) -> Result<(), Error> {
            let number = self.log.len();
            self.log.push(step);
            self.no_hole();
            match self.fails {
                Some((first, count)) if (first..first + count).contains(&number) => {
                    Err(Error::new(Kind::Failed, codes::MAP, "no"))
                }
                _ => Ok(()),
            }
        }

        /// XDP never forwards for a network that the kernel does not have like
        /// that: whoever is asked, the answer is the same.
        fn no_hole(&self) {
            for (name, network) in &self.forwarding {
                let there = self.kernel.get(name).is_some_and(|kernel| {
                    (kernel.vlan, &kernel.interface, &kernel.gateways)
                        == (network.vlan, &network.interface, &network.gateways)
                });
                assert!(
                    there || self.left_out.contains(name),
                    "{name}: {:#?}",
                    self.log
                );
            }
        }
    }

    impl Machine for Twin {
        async fn leave_out(&mut self, networks: &BTreeSet<String>) -> Result<(), Error> {
            let names: Vec<_> = networks.iter().map(String::as_str).collect();
            self.left_out = networks.clone();
            self.forwarding.retain(|name, _| !networks.contains(name));
            self.step(format!("leave out {}", names.join(" ")))
        }

        async fn detach(&mut self, trunk: &str) -> Result<(), Error> {
            self.step(format!("detach {trunk}"))?;
            self.attached.remove(trunk);
            Ok(())
        }

        async fn retire(&mut self, config: &Config) -> Result<(), Error> {
            // Done even if it fails: half-way, for all that is known. Priorities
            // are none of the kernel's business.
            let wanted: Vec<Network> = config.networks.iter().map(essence).collect();
            self.kernel
                .retain(|_, network| wanted.contains(&essence(network)));
            self.step("retire".into())
        }

        async fn bring_up(&mut self, config: &Config) -> Result<(), Error> {
            for network in &config.networks {
                self.kernel.insert(network.name.clone(), network.clone());
            }
            self.step("bring up".into())
        }

        async fn put_in_force(&mut self, config: &Config) -> Result<(), Error> {
            self.in_force = config.clone();
            self.left_out.clear();
            self.forwarding = Self::running(config).forwarding;
            self.step("put in force".into())
        }

        async fn attach(&mut self, trunk: &Trunk) -> Result<(), Error> {
            if self.attached.get(&trunk.interface) == Some(&trunk.xdp) {
                return Ok(());
            }
            self.step(format!("attach {}", trunk.interface))?;
            self.attached.insert(trunk.interface.clone(), trunk.xdp);
            Ok(())
        }

        async fn settle(&mut self) -> Result<(), Error> {
            self.step("settle".into())
        }
    }

    const BEFORE: &str = "[[trunk]]
interface = \"eth0\"
[[trunk]]
interface = \"eth1\"
xdp = \"generic\"
[[network]]
name = \"a\"
trunk = \"eth0\"
vlan = 1
gateway = \"10.0.1.1/24\"
[[network]]
name = \"b\"
trunk = \"eth0\"
vlan = 2
gateway = \"10.0.2.1/24\"
[[network]]
name = \"c\"
trunk = \"eth1\"
vlan = 1
gateway = \"10.0.3.1/24\"
";

    fn config(changes: &[(&str, &str)]) -> Config {
        let mut text = BEFORE.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        Config::parse("router.toml", &text).unwrap()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// Every kind of change.
    fn changes() -> Vec<(&'static str, Config)> {
        let b =
            "[[network]]\nname = \"b\"\ntrunk = \"eth0\"\nvlan = 2\ngateway = \"10.0.2.1/24\"\n";
        let d =
            "[[network]]\nname = \"d\"\ntrunk = \"eth0\"\nvlan = 4\ngateway = \"10.0.4.1/24\"\n";
        let c =
            "[[network]]\nname = \"c\"\ntrunk = \"eth1\"\nvlan = 1\ngateway = \"10.0.3.1/24\"\n";
        let eth1 = "[[trunk]]\ninterface = \"eth1\"\nxdp = \"generic\"\n";
        vec![
            ("nothing", config(&[])),
            ("a network less", config(&[(b, "")])),
            ("a network more", config(&[(b, &format!("{b}{d}"))])),
            ("one for another", config(&[(b, d)])),
            ("another name", config(&[("\"b\"", "\"e\"")])),
            ("another vlan", config(&[("vlan = 2", "vlan = 22")])),
            ("another gateway", config(&[("10.0.2.1", "10.0.2.254")])),
            (
                "another interface",
                config(&[("vlan = 2", "vlan = 2\ninterface = \"lan\"")]),
            ),
            (
                "priorities",
                config(&[("vlan = 2", "vlan = 2\npcp = \"keep\"")]),
            ),
            (
                "vlans exchanged",
                config(&[
                    (
                        "vlan = 1\ngateway = \"10.0.1",
                        "vlan = 9\ngateway = \"10.0.1",
                    ),
                    ("vlan = 2", "vlan = 1"),
                    ("vlan = 9", "vlan = 2"),
                ]),
            ),
            (
                "addresses exchanged",
                config(&[
                    ("10.0.1.1", "10.0.9.1"),
                    ("10.0.2.1", "10.0.1.1"),
                    ("10.0.9.1", "10.0.2.1"),
                ]),
            ),
            ("a trunk less", config(&[(eth1, ""), (c, "")])),
            ("a trunk for another", config(&[("eth1", "eth2")])),
            (
                "another mode",
                config(&[("xdp = \"generic\"", "xdp = \"native\"")]),
            ),
            ("no XDP", config(&[("xdp = \"generic\"", "xdp = \"off\"")])),
            (
                "everything",
                config(&[("eth1", "eth3"), (b, d), ("10.0.1.1", "10.0.1.7")]),
            ),
        ]
    }

    fn is_running(twin: &Twin, config: &Config) {
        let expected = Twin::running(config);
        assert_eq!(twin.in_force, expected.in_force);
        assert_eq!(twin.forwarding, expected.forwarding);
        assert_eq!(twin.kernel, expected.kernel);
        assert_eq!(twin.attached, expected.attached);
        assert_eq!(twin.left_out, BTreeSet::new());
    }

    #[test]
    fn every_change_leads_where_it_should_and_back() {
        let before = config(&[]);
        for (what, after) in changes() {
            for (old, new) in [(&before, &after), (&after, &before)] {
                println!("{what}");
                let mut twin = Twin::running(old);
                run(apply(old, new, &mut twin)).unwrap();
                is_running(&twin, new);
            }
        }
    }

    #[test]
    fn whatever_step_fails_the_configuration_before_is_in_force_again() {
        let before = config(&[]);
        for (what, after) in changes() {
            for (old, new) in [(&before, &after), (&after, &before)] {
                let mut twin = Twin::running(old);
                run(apply(old, new, &mut twin)).unwrap();
                for step in 0..twin.log.len() {
                    println!("{what}, step {step}");
                    let mut twin = Twin {
                        fails: Some((step, 1)),
                        ..Twin::running(old)
                    };
                    let error = run(apply(old, new, &mut twin)).unwrap_err();
                    // Where nothing was to change, nothing is to be put back.
                    let told = if old == new {
                        codes::MAP
                    } else {
                        codes::APPLY_FAILED
                    };
                    assert_eq!(error.code, told);
                    is_running(&twin, old);
                }
            }
        }
    }

    /// It was said that the configuration before "could not be put back
    /// entirely": it was the same, and still there.
    #[test]
    fn where_nothing_was_to_change_the_error_is_told_as_it_is() {
        let same = config(&[]);
        let mut twin = Twin {
            fails: Some((0, 9)),
            ..Twin::running(&same)
        };
        let error = run(apply(&same, &same, &mut twin)).unwrap_err();
        assert_eq!(error.code, codes::MAP);
        is_running(&twin, &same);
    }

    #[test]
    fn a_way_back_that_fails_is_said() {
        let (old, new) = (config(&[]), config(&[("vlan = 2", "vlan = 22")]));
        let mut twin = Twin {
            fails: Some((2, 9)),
            ..Twin::running(&old)
        };
        let error = run(apply(&old, &new, &mut twin)).unwrap_err();
        assert_eq!(error.code, codes::APPLY_HALF_UNDONE);
    }

    #[test]
    fn maps_come_first_and_last() {
        let (old, new) = (
            config(&[]),
            config(&[("eth1", "eth2"), ("10.0.2.1", "10.0.2.7")]),
        );
        let mut twin = Twin::running(&old);
        run(apply(&old, &new, &mut twin)).unwrap();
        assert_eq!(
            twin.log,
            [
                "leave out b c",
                "detach eth1",
                "retire",
                "bring up",
                "put in force",
                "attach eth2",
                "settle",
            ]
        );
    }

    #[test]
    fn networks_that_stay_are_not_left_out() {
        let (old, new) = (
            config(&[]),
            config(&[
                ("\"b\"", "\"e\""),
                (
                    "vlan = 1\ngateway = \"10.0.3.1",
                    "vlan = 1\npcp = \"keep\"\ngateway = \"10.0.3.1",
                ),
            ]),
        );
        assert_eq!(moving(&old, &new), ["b".to_owned(), "e".to_owned()].into());
    }
}
