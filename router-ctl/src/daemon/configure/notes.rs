//! What there is to say of the configuration: whether it is the file's, and until
//! when it has to be confirmed.

use crate::{
    api::model::{ConfigState, Problem},
    clock, codes,
    config::Config,
    daemon::saved::{Saved, Why},
    error::Error,
    instance::router_ctl,
};

/// What there is to say of the configuration.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct ConfigNotes {
    applied: Option<u64>,
    confirm_until: Option<u64>,
    pub(super) note: Option<Problem>,
}

impl ConfigNotes {
    /// Of a daemon that starts.
    pub(in crate::daemon) fn at_start(
        instance: &str,
        saved: &Saved,
        config: &Config,
        why: Option<Why>,
    ) -> Self {
        let mut notes = Self {
            note: why.map(|why| not_the_file(instance, config, why)),
            ..Self::default()
        };
        notes.read(saved);
        notes
    }

    pub(super) fn read(&mut self, saved: &Saved) {
        self.applied = saved.applied();
        self.confirm_until = saved.confirm_until();
    }

    /// As users see it.
    pub(in crate::daemon) fn state(&self) -> ConfigState {
        let left = |until: u64| until.saturating_sub(clock::now());
        ConfigState {
            applied: self.applied.map(clock::utc),
            confirm_seconds: self.confirm_until.map(left),
            last_apply_successful: self.note.is_none(),
            note: self.note.clone(),
        }
    }
}

pub(super) fn not_the_file(instance: &str, config: &Config, why: Why) -> Problem {
    let file = match &config.source {
        Some(path) => path.display().to_string(),
        None => "the command line's configuration".to_owned(),
    };
    let message = match why {
        Why::Unconfirmed => format!(
            "{file} was applied and not confirmed before the daemon restarted: the configuration before it is in force"
        ),
        Why::Expired => format!(
            "{file} was applied and not confirmed in time: the configuration before it is in force"
        ),
        Why::Rejected => {
            format!(
                "{file} was not confirmed, or rolled back: the configuration before it is in force"
            )
        }
    };
    Problem {
        message,
        help: format!(
            "`{0} config diff` shows what differs; `{0} config apply` puts the file into force",
            router_ctl(instance)
        ),
    }
}

pub(super) fn failure(error: &Error, router_ctl: &str, command: &str) -> Problem {
    let says_so = [codes::APPLY_FAILED, codes::APPLY_HALF_UNDONE].contains(&&*error.code);
    Problem {
        message: if says_so {
            error.to_string()
        } else {
            format!("the configuration was not applied: {error}")
        },
        help: match &error.help {
            Some(help) => format!("{help}; then `{router_ctl} {command}` again"),
            None => format!("`{router_ctl} {command}` again, once it is mended"),
        },
    }
}
