//! What is wrong with a configuration, and where: collected, then shown with
//! the lines it is about.

use std::{fmt::Write as _, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::{
    api::model::Location,
    error::{Error, Kind, Report},
};

/// Errors shown at a time: the rest are mostly their consequences.
const SHOWN: usize = 20;
/// Errors told at all, as JSON. Each of them is looked for in the whole text: a
/// daemon that reads megabytes of nonsense at SIGHUP must not be busy with it for
/// minutes.
const TOLD: usize = 256;

/// A place in the text, in bytes.
pub(super) type Span = Range<usize>;

/// Text that a configuration was read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'t> {
    /// Path of the file, or `command line`.
    pub(super) name: &'t str,
    /// All of it.
    pub(super) text: &'t str,
}

/// One thing that is wrong, and how to mend it: [`Draft::help`] is the only way
/// to one, so that nobody is left without.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    draft: Draft,
    help: String,
}

/// One thing that is wrong, which cannot be reported yet: it does not say how to
/// mend it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    code: &'static str,
    message: String,
    /// `None`: it is about the text as a whole.
    at: Option<(Span, String)>,
    /// Another place that explains it.
    see: Option<(Span, String)>,
}

impl Draft {
    /// `message`: one line, no full stop.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            at: None,
            see: None,
        }
    }

    /// Marks the place; `label` stands behind the carets.
    pub(super) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.at = Some((span, label.into()));
        self
    }

    /// Marks another place.
    pub(super) fn see(mut self, span: Span, label: impl Into<String>) -> Self {
        self.see = Some((span, label.into()));
        self
    }

    /// How to mend it.
    pub(super) fn help(self, help: impl Into<String>) -> Diagnostic {
        Diagnostic {
            draft: self,
            help: help.into(),
        }
    }
}

impl Diagnostic {
    fn location(&self, source: Source<'_>) -> Option<Location> {
        let (span, _) = self.draft.at.as_ref()?;
        let before = source.text.get(..span.start)?;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Location {
            file: source.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    fn render(&self, source: Source<'_>, renderer: &Renderer) -> String {
        let title = Level::ERROR
            .primary_title(self.draft.message.as_str())
            .id(self.draft.code);
        let group = match &self.draft.at {
            Some((span, label)) => {
                let mut snippet = Snippet::source(source.text).path(source.name).annotation(
                    AnnotationKind::Primary
                        .span(span.clone())
                        .label(label.as_str()),
                );
                if let Some((span, label)) = &self.draft.see {
                    snippet = snippet.annotation(
                        AnnotationKind::Context
                            .span(span.clone())
                            .label(label.as_str()),
                    );
                }
                Group::with_title(title).element(snippet)
            }
            None => Group::with_title(title).element(Origin::path(source.name)),
        };
        renderer.render(&[group.element(Level::HELP.message(self.help.as_str()))])
    }

    fn error(&self, source: Source<'_>, rendered: String, more: Vec<Error>) -> Error {
        Error {
            help: Some(self.help.clone()),
            report: Some(Box::new(Report {
                location: self.location(source),
                rendered,
                more,
            })),
            ..Error::new(Kind::Usage, self.draft.code, self.draft.message.clone())
        }
    }
}

/// Everything that is wrong.
#[derive(Debug, Default)]
pub(super) struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Notes one.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Notes what there is.
    pub(super) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(diagnostics);
    }

    /// `value`, if nothing is wrong; else all that is, in the order of the text.
    pub(super) fn into_result<T>(mut self, value: T, source: Source<'_>) -> Result<T, Error> {
        self.0.sort_by_key(|diagnostic| {
            diagnostic
                .draft
                .at
                .as_ref()
                .map_or(0, |(span, _)| span.start)
        });
        let Some((first, rest)) = self.0.split_first() else {
            return Ok(value);
        };
        let more = rest
            .iter()
            .take(TOLD - 1)
            .map(|diagnostic| diagnostic.error(source, String::new(), Vec::new()))
            .collect();
        Err(first.error(source, self.render(source, &Renderer::styled()), more))
    }

    fn render(&self, source: Source<'_>, renderer: &Renderer) -> String {
        let shown = self.0.iter().take(SHOWN);
        let mut report = shown
            .map(|diagnostic| diagnostic.render(source, renderer))
            .collect::<Vec<_>>()
            .join("\n\n");
        if self.0.len() > 1 {
            // Writing into a string does not fail.
            let _ = write!(report, "\n\n{} errors", self.0.len());
            if self.0.len() > SHOWN {
                let _ = write!(report, ", the first {SHOWN} shown");
            }
        }
        report
    }
}
