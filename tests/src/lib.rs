//! Harness of the tests and of the article's scenario.
//!
//! * no wire: [`packet`] builds and reads frames, [`prog`] runs the program
//!   under `BPF_PROG_TEST_RUN`
//! * [`tables`] are the conformance cases, for every rung
//! * a wire: [`netns`] and [`topology`] are the machines, [`pass`] the XDP
//!   program of their switch ports, [`capture`] sees what is on the wire,
//!   [`ping`] and [`transfer`] are the traffic, [`wait`] waits for it
//! * a router: [`lab`] is what surrounds the real daemon, [`router_daemon`] runs
//!   it, [`flow`] is the traffic that may not suffer, [`forwarded`] says who
//!   forwarded it, [`kernel_objects`] what is left of it in the kernel,
//!   [`footprint`] what is left on the system
//! * [`machine`] is a whole machine around a router, with systemd
//! * [`follow`] is a router whose kernel is changed under it, with its maps
//! * [`nft`] makes a chain of netfilter
//! * [`oracle`] compares two routers, with XDP and without, frame by frame;
//!   [`pcap`] reads captures that are replayed through it
//! * [`sys`] has the system calls without a safe wrapper

pub mod capture;
pub mod flow;
pub mod follow;
pub mod footprint;
pub mod forwarded;
pub mod hitless;
pub mod kernel_objects;
pub mod lab;
pub mod machine;
pub mod netns;
pub mod nft;
pub mod oracle;
pub mod packet;
pub mod pass;
pub mod pcap;
pub mod ping;
pub mod prog;
pub mod router_daemon;
pub mod scratch;
pub mod sys;
pub mod tables;
pub mod tasks;
pub mod topology;
pub mod transfer;
pub mod wait;
