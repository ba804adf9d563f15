//! Which routes: `[PREFIX] [via IP] [dev NETWORK] [proto NAME]`, as
//! `ip route show` takes them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::networks::unknown_network;
use crate::{
    api::model::{NetworkStatus, Route},
    codes,
    error::{Error, Kind},
    netlink::protocol_name,
};

/// Routes that are like this in all that is said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    to: Option<To>,
    via: Option<IpAddr>,
    network: Option<String>,
    proto: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum To {
    /// Of either family.
    Default,
    Prefix(IpNet),
}

impl Selection {
    pub(super) fn read(words: &[String]) -> Result<Self, Error> {
        let mut selection = Self::default();
        let mut rest = words.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            let (key, value) = match word {
                "to" | "via" | "dev" | "proto" | "protocol" => {
                    let value = rest.next();
                    (
                        word,
                        value.ok_or_else(|| usage(format!("nothing behind `{word}`")))?,
                    )
                }
                _ => ("to", word),
            };
            let twice = match key {
                "via" => selection.via.replace(address(value)?).is_some(),
                "dev" => selection.network.replace(value.to_owned()).is_some(),
                "to" => selection.to.replace(to(value)?).is_some(),
                _ => selection.proto.replace(protocol(value)?).is_some(),
            };
            if twice {
                return Err(usage(format!("`{value}` is one `{key}` too many")));
            }
        }
        Ok(selection)
    }

    /// The network or device that is named has to be one.
    pub(super) fn check(
        &self,
        instance: &str,
        networks: &[NetworkStatus],
        routes: &[Route],
    ) -> Result<(), Error> {
        let Some(name) = &self.network else {
            return Ok(());
        };
        let known = networks.iter().any(|network| network.name == *name)
            || routes.iter().any(|route| is_by(route, name));
        if known {
            return Ok(());
        }
        Err(unknown_network(instance, name))
    }

    pub(super) fn takes(&self, route: &Route) -> bool {
        let to = match &self.to {
            None => true,
            Some(To::Default) => route.dst.prefix_len() == 0,
            Some(To::Prefix(net)) => route.dst == *net,
        };
        to && self.via.is_none_or(|via| route.via == Some(via))
            && self.network.as_ref().is_none_or(|name| is_by(route, name))
            && self.proto.as_ref().is_none_or(|name| route.proto == *name)
    }
}

/// Whether a route leaves by a network, or by a device that is none: `dev:eth1`.
fn is_by(route: &Route, name: &str) -> bool {
    route.network == name || route.network.strip_prefix("dev:") == Some(name)
}

/// A protocol as the listing shows it: by name, or by a number that has none.
fn protocol(word: &str) -> Result<String, Error> {
    let named = match word.parse() {
        Ok(number) => Some(protocol_name(number)),
        Err(_) => (0..=u8::MAX).map(protocol_name).find(|name| name == word),
    };
    named.ok_or_else(|| usage(format!("there is no proto {word}")))
}

fn to(word: &str) -> Result<To, Error> {
    if word == "default" {
        return Ok(To::Default);
    }
    match word.parse::<IpNet>() {
        Ok(net) => Ok(To::Prefix(net.trunc())),
        Err(_) => address(word).map(|address| To::Prefix(address.into())),
    }
}

fn address(word: &str) -> Result<IpAddr, Error> {
    word.parse().map_err(|_| {
        Error::new(
            Kind::Usage,
            codes::BAD_ADDRESS,
            format!("\"{word}\" is not an address, nor a word of routes"),
        )
        .help("router-ctl routes list 10.9.0.0/16 via 172.16.10.9 dev mac10 proto static")
    })
}

fn usage(wrong: String) -> Error {
    Error::new(Kind::Usage, codes::USAGE, wrong)
        .help("router-ctl routes list 10.9.0.0/16 via 172.16.10.9 dev mac10 proto static")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Selection, Error> {
        let words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        Selection::read(&words)
    }

    #[test]
    fn routes_are_chosen_by_all_that_is_said() {
        let route = Route {
            dst: "10.9.0.0/16".parse().unwrap(),
            via: Some("172.16.10.9".parse().unwrap()),
            network: "mac10".into(),
            vlan: Some(100),
            proto: "bird".into(),
            metric: 32,
        };
        for words in [
            "",
            "10.9.0.0/16",
            "to 10.9.1.1/16",
            "via 172.16.10.9",
            "dev mac10 proto bird",
            "10.9.0.0/16 protocol bird dev mac10 via 172.16.10.9",
        ] {
            assert!(read(words).unwrap().takes(&route), "{words}");
        }
        for words in [
            "default",
            "10.9.0.0/24",
            "10.9.0.1",
            "via 172.16.10.8",
            "dev mac20",
            "dev mac10 proto static",
        ] {
            assert!(!read(words).unwrap().takes(&route), "{words}");
        }
        let default = Route {
            dst: "::/0".parse().unwrap(),
            ..route
        };
        assert!(read("default").unwrap().takes(&default));
    }

    /// A word that was mistyped chose nothing, and all was said to be well.
    #[test]
    fn what_there_is_not_is_refused() {
        let route = Route {
            dst: "10.9.0.0/16".parse().unwrap(),
            via: None,
            network: "dev:eth1".into(),
            vlan: None,
            proto: "static".into(),
            metric: 0,
        };
        let check = |words: &str| {
            let routes = std::slice::from_ref(&route);
            read(words).unwrap().check("a3", &[], routes)
        };
        for words in ["", "dev eth1", "dev dev:eth1", "proto bird"] {
            check(words).unwrap();
        }
        let refused = check("dev zz").unwrap_err();
        assert_eq!(refused.code, codes::NETWORK_UNKNOWN);
        let help = refused.help.unwrap();
        assert!(help.contains("--instance a3 networks"), "{help}");
        assert_eq!(read("proto bogus").unwrap_err().code, codes::USAGE);
        assert_eq!(read("proto 4").unwrap(), read("proto static").unwrap());
        assert!(read("proto 4 dev eth1").unwrap().takes(&route));
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for (words, code) in [
            ("dev", codes::USAGE),
            ("via x", codes::BAD_ADDRESS),
            ("mac10", codes::BAD_ADDRESS),
            ("dev mac10 dev mac20", codes::USAGE),
            ("10.0.0.0/8 10.9.0.0/16", codes::USAGE),
        ] {
            assert_eq!(read(words).unwrap_err().code, code, "{words}");
        }
    }
}
