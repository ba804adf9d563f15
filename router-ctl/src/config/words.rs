//! A route in the words of iproute2: `PREFIX via IP dev NETWORK metric N src IP`.

use toml::Spanned;

use super::{
    StaticRoute,
    diagnostic::{Diagnostics, Draft, Span},
    file::Route,
    suggest::nearest,
    validate::METRIC,
};
use crate::codes;

const WORDS: [&str; 4] = ["via", "dev", "metric", "src"];
const FORM: &str = "PREFIX via IP [dev NETWORK] [metric N] [src IP]";

/// Reads the route that stands at `span` in `text`.
pub(super) fn read(text: &str, span: Span, wrong: &mut Diagnostics) -> Option<Route> {
    let mut words = split(text, span.clone());
    let Some(to) = words.next() else {
        wrong.push(
            Draft::new(codes::USAGE, "a route without destination")
                .at(span, "a prefix, or `default`")
                .help(FORM),
        );
        return None;
    };
    let mut route = Route {
        span,
        to: Some(to),
        via: None,
        network: None,
        metric: None,
        src: None,
    };
    while let Some(word) = words.next() {
        let known = WORDS.contains(&word.get_ref().as_str());
        if !known {
            let help = nearest(word.get_ref(), WORDS).map_or_else(
                || FORM.to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            wrong.push(
                Draft::new(codes::USAGE, format!("unknown word `{}`", word.get_ref()))
                    .at(word.span(), "not a word of a route")
                    .help(help),
            );
            return None;
        }
        let Some(value) = words.next() else {
            wrong.push(
                Draft::new(codes::USAGE, format!("nothing behind `{}`", word.get_ref()))
                    .at(word.span(), "a value must follow")
                    .help(FORM),
            );
            return None;
        };
        let twice = match word.get_ref().as_str() {
            "via" => route.via.replace(value).is_some(),
            "dev" => route.network.replace(value).is_some(),
            "src" => route.src.replace(value).is_some(),
            _ => {
                let Ok(metric) = value.get_ref().parse() else {
                    wrong.push(
                        Draft::new(
                            codes::BAD_VALUE,
                            format!("metric `{}` is not a number", value.get_ref()),
                        )
                        .at(value.span(), "0 to 4294967295")
                        .help(METRIC),
                    );
                    return None;
                };
                route
                    .metric
                    .replace(Spanned::new(value.span(), metric))
                    .is_some()
            }
        };
        if twice {
            wrong.push(
                Draft::new(codes::USAGE, format!("`{}` twice", word.get_ref()))
                    .at(word.span(), "given before")
                    .help("take one of them out"),
            );
        }
    }
    Some(route)
}

/// The words that say this route, and what [`read`] makes of them.
pub(super) fn write(route: &StaticRoute) -> (String, Route) {
    let mut text = String::new();
    let mut word = |key: &str, value: String| {
        if !text.is_empty() {
            text += " ";
        }
        text += key;
        let start = text.len();
        text += &value;
        Spanned::new(start..text.len(), value)
    };
    let to = word("", route.to.to_string());
    let via = route.via.map(|via| word("via ", via.to_string()));
    let network = route.network.clone().map(|name| word("dev ", name));
    let metric = route.metric.map(|metric| {
        let metric_word = word("metric ", metric.to_string());
        Spanned::new(metric_word.span(), i64::from(metric))
    });
    let src = route.src.map(|src| word("src ", src.to_string()));
    let entry = Route {
        span: 0..text.len(),
        to: Some(to),
        via,
        network,
        metric,
        src,
    };
    (text, entry)
}

/// The words of `text` inside `span`, with their places.
fn split(text: &str, span: Span) -> impl Iterator<Item = Spanned<String>> {
    let part = &text[span.clone()];
    part.split_ascii_whitespace().map(move |word| {
        let start = span.start + (word.as_ptr().addr() - part.as_ptr().addr());
        Spanned::new(start..start + word.len(), word.to_owned())
    })
}
