//! Which routes: `[PREFIX] [via IP] [dev NETWORK] [proto NAME]`, as
//! `ip route show` takes them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    api::model::Route,
    codes,
    error::{Error, Kind},
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
                _ => selection.proto.replace(value.to_owned()).is_some(),
            };
            if twice {
                return Err(usage(format!("`{value}` is one `{key}` too many")));
            }
        }
        Ok(selection)
    }

    pub(super) fn takes(&self, route: &Route) -> bool {
        let to = match &self.to {
            None => true,
            Some(To::Default) => route.dst.prefix_len() == 0,
            Some(To::Prefix(net)) => route.dst == *net,
        };
        to && self.via.is_none_or(|via| route.via == Some(via))
            && self
                .network
                .as_ref()
                .is_none_or(|name| route.network == *name)
            && self.proto.as_ref().is_none_or(|name| route.proto == *name)
    }
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
