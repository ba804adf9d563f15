//! Words that must be addresses or prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use toml::Spanned;

use super::{Diagnostics, Draft};
use crate::codes;

/// IPv4 or IPv6, as users say it.
pub(super) const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// A plain address.
pub(super) fn address(
    key: &str,
    word: &Spanned<String>,
    wrong: &mut Diagnostics,
) -> Option<IpAddr> {
    let text = word.get_ref();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.parse::<IpNet>() {
        Ok(net) => format!("without prefix length: {}", net.addr()),
        Err(_) => "as in 172.16.10.9 or fd00:10::9".to_owned(),
    };
    wrong.push(
        Draft::new(
            codes::BAD_ADDRESS,
            format!("`{key}`: \"{text}\" is not an IP address"),
        )
        .at(word.span(), "IPv4 or IPv6 address")
        .help(help),
    );
    None
}

/// A gateway: an address with its prefix length, the address a host's.
pub(super) fn gateway(word: &Spanned<String>, wrong: &mut Diagnostics) -> Option<IpNet> {
    let text = word.get_ref();
    let Ok(net) = text.parse::<IpNet>() else {
        let diagnostic = Draft::new(
            codes::BAD_ADDRESS,
            format!("gateway \"{text}\" is not an address with a prefix length"),
        )
        .at(word.span(), "ADDRESS/LENGTH");
        wrong.push(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => diagnostic.help(format!("did you mean {address}/24?")),
            Ok(IpAddr::V6(address)) => diagnostic.help(format!("did you mean {address}/64?")),
            Err(_) => diagnostic.help("as in 172.16.10.1/24 or fd00:10::1/64"),
        });
        return None;
    };
    let Some((why, help)) = gateway_fault(net) else {
        return Some(net);
    };
    wrong.push(
        Draft::new(codes::GATEWAY_INVALID, format!("gateway {net} {why}"))
            .at(word.span(), "cannot be a gateway's")
            .help(help),
    );
    None
}

const OWN_ADDRESS: &str = "give an address that this router is to have on the network, as in \
                           172.16.10.1/24 or fd00:10::1/64";

/// Why `net` cannot be a gateway, and what could be meant.
fn gateway_fault(net: IpNet) -> Option<(String, String)> {
    let address = net.addr();
    if net.prefix_len() == 0 {
        let help = "give the length of the network's own prefix, 24 or 64 mostly";
        return Some((
            "has prefix length 0: every address would be on link".to_owned(),
            help.to_owned(),
        ));
    }
    if let Some(why) = not_a_host(address) {
        return Some((why.to_owned(), OWN_ADDRESS.to_owned()));
    }
    if let IpAddr::V6(v6) = address
        && v6.is_unicast_link_local()
    {
        let help = "the kernel gives every interface its own; give a unique local (fd00::/8) or global address";
        return Some(("is link-local".to_owned(), help.to_owned()));
    }
    // RFC 3021, RFC 6164: in a /31 and a /127 both addresses are hosts'.
    if net.prefix_len() + 1 >= net.max_prefix_len() {
        return None;
    }
    let first = net.hosts().find(|host| *host != net.network());
    let help = first.map_or_else(
        || OWN_ADDRESS.to_owned(),
        |first| format!("did you mean {first}/{}?", net.prefix_len()),
    );
    if address == net.network() {
        let what = if address.is_ipv4() {
            "is the network's own address, not a host's"
        } else {
            "is the subnet-router anycast address, not a host's"
        };
        return Some((what.to_owned(), help));
    }
    if address.is_ipv4() && address == net.broadcast() {
        return Some(("is the subnet's broadcast address".to_owned(), help));
    }
    None
}

/// Why `address` is never a host's (RFC 6890).
pub(super) fn not_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST => Some("is the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 => {
            Some("is in 0.0.0.0/8, which means \"this network\"")
        }
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some("is in 240.0.0.0/4, which is reserved"),
        IpAddr::V6(v6) if v6 == Ipv6Addr::UNSPECIFIED => Some("is the unspecified address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("is an IPv4-mapped address"),
        _ if address.is_loopback() => Some("is a loopback address"),
        _ if address.is_multicast() => Some("is a multicast address"),
        _ => None,
    }
}
