//! What the kernel announces, up to what it makes of the maps.

use std::sync::LazyLock;

use router_ctl::{
    config::Config,
    netlink::{Delta, Mirror, announced},
    reconcile::{Kernel, Numbering, Wanted, reconcile},
};

/// The devices that the seeds speak of.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = r#"
        [[trunk]]
        interface = "enp0s3"
        [[network]]
        name = "mac10"
        vlan = 100
        interface = "m10"
        gateway = ["172.16.10.1/24", "fd00:10::1/64"]
        [[network]]
        name = "uplink"
    "#;
    Config::parse("router.toml", text).expect("a sound configuration")
});

/// Datagrams, one behind the other.
pub fn netlink(data: &[u8]) -> bool {
    let deltas = announced(data);
    let mut mirror = Mirror::default();
    for delta in &deltas {
        mirror.apply(delta);
    }
    let kernel = Kernel {
        tables: mirror.tables(),
        ..Kernel::default()
    };
    let wanted = Wanted {
        stand_in: true,
        ..Wanted::default()
    };
    let numbering = Numbering::default().adapted(&CONFIG);
    let plan = reconcile(&CONFIG, &numbering, &kernel, &wanted);
    for (index, entry) in &plan.contents.ingress {
        assert_ne!(entry.ifindex.get(), 0, "an empty entry at {index}");
        assert!(entry.prefixes4_len <= 2 && entry.prefixes6_len <= 2);
        let out = &plan.contents.egress[&entry.ifindex];
        assert_eq!(out.network, entry.network, "in and out are one network");
    }
    let devices = plan.networks.iter().flatten().count();
    assert_eq!(devices, plan.contents.egress.len());
    // What could not be read makes everything due.
    let unreadable = deltas.contains(&Delta::Unreadable);
    assert!(mirror.due().all || !unreadable);
    !deltas.is_empty() && !unreadable
}
