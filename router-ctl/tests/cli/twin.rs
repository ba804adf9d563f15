//! A daemon in memory, behind a real socket in a temporary folder.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use router_ctl::{
    api::{
        self, Listener,
        model::{
            ConfigApplied, ConfigApply, ConfigChange, ConfigState, Count, Following, Neighbour,
            NetworkStatus, PairCount, Problem, RedirectError, Route, RouteAnswer, RouteChange,
            RouteVerb, RunningConfig, State, Stats, Status, TrunkStatus, VerdictCount,
        },
    },
    config::{Config, diff},
    error::{Error, Kind},
    hub::{Ear, Hub, Interest},
    service::{NeighbourFilter, RouteFilter, Service},
};
use tempfile::TempDir;
use tokio::sync::Notify;

/// What the twin knows and was asked for.
pub(crate) struct Twin {
    pub(crate) state: Mutex<State>,
    pub(crate) changes: Mutex<Vec<RouteChange>>,
    pub(crate) hub: Hub,
    /// So many routes there are besides.
    pub(crate) more_routes: AtomicU64,
    /// How often it was asked for them.
    pub(crate) listings: AtomicU64,
    packets: AtomicU64,
    down: Notify,
}

impl Service for Twin {
    async fn status(&self) -> Result<Status, Error> {
        let state = *self.state.lock().unwrap();
        Ok(Status {
            version: "0.1.0".to_owned(),
            instance: "default".to_owned(),
            state,
            problems: match state {
                State::Degraded => vec![Problem {
                    message: "IPv4 forwarding is off".to_owned(),
                    help: "sysctl -w net.ipv4.ip_forward=1".to_owned(),
                }],
                State::Starting | State::Forwarding => Vec::new(),
            },
            warnings: match state {
                State::Degraded => vec![Problem {
                    message: "netfilter drops what it forwards".to_owned(),
                    help: "nft list chain ip filter FORWARD".to_owned(),
                }],
                State::Starting | State::Forwarding => Vec::new(),
            },
            pid: 4711,
            uptime_seconds: 273_600,
            config: Some("/etc/router-ctl/router.toml".to_owned()),
            config_state: ConfigState {
                applied: Some("2026-11-20T09:14:00Z".to_owned()),
                last_apply_successful: true,
                ..ConfigState::default()
            },
            trunks: vec![TrunkStatus {
                interface: "enp0s3".to_owned(),
                ifindex: Some(2),
                xdp_mode: "native".to_owned(),
                prog_id: Some(412),
                prog_tag: Some("f0f1f2f3f4f5f6f7".to_owned()),
                link_id: Some(7),
                pinned: true,
                rx_vlan_offload: Some(false),
            }],
            networks: networks(),
            following: Following {
                dumps: 21,
                resyncs: 3,
                overruns: 1,
            },
            stats: stats(),
        })
    }

    async fn networks(&self) -> Result<Vec<NetworkStatus>, Error> {
        Ok(networks())
    }

    async fn routes(&self, filter: RouteFilter) -> Result<Vec<Route>, Error> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        let mut routes = routes();
        for _ in 0..self.more_routes.load(Ordering::Relaxed) {
            routes.push(routes[0].clone());
        }
        routes.retain(|route| {
            if route.dst.addr().is_ipv4() {
                filter.v4
            } else {
                filter.v6
            }
        });
        Ok(routes)
    }

    async fn route_get(&self, dst: IpAddr, from: Option<IpAddr>) -> Result<RouteAnswer, Error> {
        if dst == IpAddr::from([10, 66, 0, 1]) {
            return Err(Error::new(Kind::Failed, "RC0399", "no route to 10.66.0.1")
                .cause("Network is unreachable (os error 101)")
                .help("router-ctl routes"));
        }
        if dst == IpAddr::from([9, 9, 9, 9]) {
            return Ok(RouteAnswer {
                dst,
                via: None,
                network: None,
                vlan: None,
                src: None,
                kind: "unreachable".to_owned(),
            });
        }
        Ok(RouteAnswer {
            dst,
            via: Some(IpAddr::from([172, 16, 10, 9])),
            network: Some("mac10".to_owned()),
            vlan: Some(100),
            src: from.is_none().then(|| IpAddr::from([172, 16, 10, 1])),
            kind: "unicast".to_owned(),
        })
    }

    async fn route_change(&self, change: RouteChange) -> Result<(), Error> {
        if change.verb == RouteVerb::Add && change.metric == Some(17) {
            return Err(Error::new(Kind::Failed, "RC0399", "cannot add the route")
                .cause("File exists (os error 17)"));
        }
        self.changes.lock().unwrap().push(change);
        Ok(())
    }

    async fn config(&self, effective: bool) -> Result<RunningConfig, Error> {
        let config = running();
        Ok(RunningConfig {
            source: Some("/etc/router-ctl/router.toml".to_owned()),
            toml: config.to_toml(effective),
            config: config.to_json(effective),
        })
    }

    async fn config_diff(&self) -> Result<Vec<ConfigChange>, Error> {
        Ok(diff(&running(), &wanted()))
    }

    async fn config_apply(&self, request: ConfigApply) -> Result<ConfigApplied, Error> {
        if request.confirm_seconds == Some(1) {
            // As a daemon does that finds its file wrong.
            let wrong = "[[trunk]]\ninterface = \"eth0\"\n[[network]]\nname = \"a\"\nvlan = 5000\n";
            Config::parse("/etc/router-ctl/router.toml", wrong)?;
        }
        let steps = [
            "let the kernel alone forward for mac20",
            "let XDP forward for mac20",
        ];
        Ok(ConfigApplied {
            changes: diff(&running(), &wanted()),
            steps: steps
                .iter()
                .filter(|_| request.dry_run)
                .map(|&step| step.to_owned())
                .collect(),
            confirm_seconds: request.confirm_seconds,
        })
    }

    async fn config_confirm(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn config_rollback(&self) -> Result<ConfigApplied, Error> {
        Ok(ConfigApplied {
            changes: diff(&wanted(), &running()),
            ..ConfigApplied::default()
        })
    }

    async fn neighbours(&self, filter: NeighbourFilter) -> Result<Vec<Neighbour>, Error> {
        if filter.network.as_deref() == Some("nowhere") {
            return Err(Error::new(
                Kind::Failed,
                "RC0115",
                "there is no network nowhere",
            ));
        }
        let mut neighbours = neighbours();
        neighbours.retain(|neighbour| {
            let family = match neighbour.ip {
                IpAddr::V4(_) => filter.families.v4,
                IpAddr::V6(_) => filter.families.v6,
            };
            let network = filter.network.as_ref();
            family && network.is_none_or(|name| *name == neighbour.network)
        });
        Ok(neighbours)
    }

    async fn monitor(&self, interest: Interest) -> Result<Ear, Error> {
        Ok(self.hub.listen(interest))
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let mut stats = stats();
        // As if there was traffic.
        stats.verdicts[1].packets += self.packets.load(Ordering::Relaxed);
        Ok(stats)
    }

    async fn down(&self) -> Result<(), Error> {
        self.down.notify_one();
        Ok(())
    }
}

fn running() -> Config {
    Config::parse("running", include_str!("../../src/config/example.toml")).unwrap()
}

/// Something of everything is another way.
fn wanted() -> Config {
    let text = include_str!("../../src/config/example.toml")
        .replace("vlan = 200", "vlan = 201")
        .replace("\"fd00:20::1/64\"", "\"fd00:20::2/64\"")
        .replace("10.9.0.0/16", "10.8.0.0/16");
    Config::parse("wanted", &text).unwrap()
}

fn networks() -> Vec<NetworkStatus> {
    let network = |name: &str, vlan: Option<u16>, gateways: &[&str], state: &str| NetworkStatus {
        name: name.to_owned(),
        trunk: "enp0s3".to_owned(),
        vlan,
        interface: vlan.map_or_else(|| "enp0s3".to_owned(), |vlan| format!("enp0s3.{vlan}")),
        ifindex: Some(vlan.map_or(2, u32::from)),
        gateways: gateways.iter().map(|net| net.parse().unwrap()).collect(),
        mac: Some("02:00:00:00:00:01".to_owned()),
        mtu: Some(1500),
        state: state.to_owned(),
    };
    vec![
        network(
            "mac10",
            Some(100),
            &["172.16.10.1/24", "fd00:10::1/64"],
            "up",
        ),
        network("mac20", Some(200), &["172.16.20.1/24"], "up"),
        network("wan", None, &[], "down"),
    ]
}

fn routes() -> Vec<Route> {
    let route = |dst: &str, via: Option<&str>, network: &str, vlan, proto: &str, metric| Route {
        dst: dst.parse().unwrap(),
        via: via.map(|via| via.parse().unwrap()),
        network: network.to_owned(),
        vlan,
        proto: proto.to_owned(),
        metric,
    };
    vec![
        route(
            "10.9.0.0/16",
            Some("172.16.10.9"),
            "mac10",
            Some(100),
            "router-ctl",
            50,
        ),
        route(
            "10.8.0.0/16",
            Some("172.16.10.8"),
            "mac10",
            Some(100),
            "router-ctl",
            50,
        ),
        route("0.0.0.0/0", Some("192.0.2.1"), "wan", None, "static", 100),
        route("172.16.10.0/24", None, "mac10", Some(100), "kernel", 0),
        route("fd00:10::/64", None, "mac10", Some(100), "kernel", 256),
    ]
}

fn neighbours() -> Vec<Neighbour> {
    let neighbour = |ip: &str, mac: Option<&str>, network: &str, vlan, state: &str| Neighbour {
        ip: ip.parse().unwrap(),
        mac: mac.map(ToOwned::to_owned),
        network: network.to_owned(),
        vlan,
        state: state.to_owned(),
        router: ip == "192.0.2.1",
    };
    let mac = Some("02:00:00:00:10:10");
    vec![
        neighbour("172.16.10.10", mac, "mac10", Some(100), "REACHABLE"),
        neighbour("172.16.10.99", None, "mac10", Some(100), "FAILED"),
        neighbour("fd00:10::10", mac, "mac10", Some(100), "STALE"),
        neighbour(
            "192.0.2.1",
            Some("02:00:00:00:00:fe"),
            "wan",
            None,
            "REACHABLE",
        ),
    ]
}

fn stats() -> Stats {
    let verdict = |reason: &str, action: &str, packets, bytes| VerdictCount {
        reason: reason.to_owned(),
        action: action.to_owned(),
        packets,
        bytes,
    };
    let pair = |from: &str, to: &str, packets, bytes| PairCount {
        from: from.to_owned(),
        to: to.to_owned(),
        packets,
        bytes,
    };
    Stats {
        fast: Count {
            packets: 987,
            bytes: 98_700,
        },
        verdicts: vec![
            verdict("forwarded", "tx", 987, 98_700),
            verdict("arp", "pass", 9, 540),
            verdict("no-neighbour", "pass", 4, 400),
        ],
        pairs: vec![
            pair("mac10", "mac20", 500, 50_000),
            pair("mac20", "mac10", 487, 48_700),
        ],
        redirect_errors: Some(vec![RedirectError {
            errno: "EOPNOTSUPP".to_owned(),
            packets: 3,
        }]),
    }
}

/// The twin, while it runs.
pub(crate) struct Daemon {
    pub(crate) twin: Arc<Twin>,
    pub(crate) socket: PathBuf,
    thread: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let twin = Arc::new(Twin {
            state: Mutex::new(State::Forwarding),
            changes: Mutex::default(),
            hub: Hub::default(),
            more_routes: AtomicU64::new(0),
            listings: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            down: Notify::new(),
        });
        let (ready, wait) = mpsc::channel();
        let (path, served) = (dir.path().to_owned(), Arc::clone(&twin));
        let thread = thread::spawn(move || serve(&path, &served, &ready));
        let socket = wait.recv().unwrap();
        Self {
            twin,
            socket,
            thread: Some(thread),
            _dir: dir,
        }
    }

    pub(crate) fn set(&self, state: State) {
        *self.twin.state.lock().unwrap() = state;
    }

    /// So many frames of ARP come in.
    pub(crate) fn arp(&self, packets: u64) {
        self.twin.packets.fetch_add(packets, Ordering::Relaxed);
    }

    /// `router-ctl` with these words, asking the twin.
    pub(crate) fn command(&self, words: &str) -> assert_cmd::Command {
        let mut command = crate::router_ctl(words);
        command.env("ROUTER_CTL_SOCKET", &self.socket);
        command
    }

    /// Waits until the daemon has ended by itself.
    pub(crate) fn ended(mut self) {
        self.thread.take().unwrap().join().unwrap();
        assert!(!self.socket.exists(), "the socket goes with its daemon");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.twin.down.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(dir: &Path, twin: &Arc<Twin>, ready: &mpsc::Sender<PathBuf>) {
    let listener = Listener::bind_in(dir, "default").await.unwrap();
    ready.send(listener.path().to_owned()).unwrap();
    api::serve(listener, Arc::clone(twin), twin.down.notified()).await;
}

/// Whether PATH has this program.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}
