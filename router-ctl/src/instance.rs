//! Which router a command is about: several may run on one machine.

/// The one that is meant where none is named.
pub const DEFAULT: &str = "default";

/// How a command about this instance begins. Every `help:` that names one begins
/// it so: without the name it would change another router of this machine.
#[must_use]
pub fn router_ctl(instance: &str) -> String {
    match instance {
        DEFAULT => "router-ctl".to_owned(),
        name => format!("router-ctl --instance {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_unless_it_is_the_usual_one() {
        assert_eq!(router_ctl(DEFAULT), "router-ctl");
        assert_eq!(router_ctl("a3"), "router-ctl --instance a3");
    }
}
