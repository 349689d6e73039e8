//! What is seen of a run under way: which step of how many of a section, and how long it will take yet.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::plan::{Plan, in_words};
use super::section::Section;

/// A bar on a terminal, and lines elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    plan: Plan,
    under_way: Option<UnderWay>,
}

/// A section, and the step of it that is being made.
#[derive(Debug, Clone)]
struct UnderWay {
    section: Section,
    began: Instant,
    steps: u64,
    /// From 1 on; 0 before the first.
    step: u64,
    what: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:20}] {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::new(0).with_style(style.progress_chars("=> ")),
            plan: Plan::default(),
            under_way: None,
        }
    }

    /// What the run is to do, before its first section.
    pub(crate) fn plan(&mut self, plan: Plan) {
        self.plan = plan;
    }

    /// Begins a section of so many steps.
    pub(crate) fn begin(&mut self, section: Section, steps: u64) {
        self.bar.set_prefix(section.name());
        self.bar.set_length(steps);
        self.under_way = Some(UnderWay {
            section,
            began: Instant::now(),
            steps,
            step: 0,
            what: String::new(),
        });
    }

    /// So many steps come on top.
    pub(crate) fn add_steps(&mut self, steps: u64) {
        if let Some(under_way) = &mut self.under_way {
            under_way.steps += steps;
            self.bar.set_length(under_way.steps);
        }
    }

    /// The next step of the section begins.
    pub(crate) fn step(&mut self, what: String) {
        if let Some(under_way) = &mut self.under_way {
            under_way.step += 1;
            under_way.what = what;
        }
        self.show("");
    }

    /// The same step is made once more.
    pub(crate) fn again(&mut self, why: &str) {
        self.show(&format!("; repeated: {why}"));
    }

    fn show(&self, behind: &str) {
        let Some(under_way) = &self.under_way else {
            return;
        };
        let UnderWay {
            section,
            steps,
            step,
            what,
            ..
        } = under_way;
        let left = in_words(self.left(under_way));
        let line = format!("{step} of {steps}, {left} left: {what}{behind}");
        if self.bar.is_hidden() {
            println!("{} {line}", section.name());
        }
        self.bar.set_position(step.saturating_sub(1));
        self.bar.set_message(line);
    }

    fn left(&self, under_way: &UnderWay) -> Duration {
        let (planned, later) = self.plan.of_section(under_way.section);
        let done = under_way.step.saturating_sub(1);
        left(planned, under_way.began.elapsed(), done, under_way.steps) + later
    }

    /// A line on standard output, above the bar if there is one.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    pub(crate) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.under_way = None;
    }
}

/// The time that a section takes yet: by plan before its first step is done, and from then on as the
/// steps before have taken.
fn left(planned: Duration, elapsed: Duration, done: u64, steps: u64) -> Duration {
    let to_do = steps.saturating_sub(done) as f64;
    if done == 0 {
        return planned.saturating_sub(elapsed);
    }
    Duration::from_secs_f64(elapsed.as_secs_f64() / done as f64 * to_do)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_of_the_plan_and_then_of_what_steps_have_taken() {
        let s = Duration::from_secs;
        assert_eq!(left(s(60), s(0), 0, 10), s(60));
        assert_eq!(left(s(60), s(20), 0, 10), s(40));
        assert_eq!(left(s(60), s(90), 0, 10), s(0));
        // Steps that take twice the time that was planned.
        assert_eq!(left(s(60), s(60), 5, 10), s(60));
        assert_eq!(left(s(60), s(120), 10, 10), s(0));
    }

    #[test]
    fn later_sections_are_left_too() {
        let s = Duration::from_secs;
        let mut progress = Progress::new();
        progress.plan(Plan::of_parts(vec![
            (Section::Micro, s(7)),
            (Section::Sizes, s(1000)),
            (Section::Idle, s(30)),
        ]));
        let left_of = |section, step| {
            progress.left(&UnderWay {
                section,
                began: Instant::now(),
                steps: 4,
                step,
                what: String::new(),
            })
        };
        // But for the time that the test itself takes.
        assert_eq!(in_words(left_of(Section::Sizes, 1)), "17 min 10 s");
        assert_eq!(in_words(left_of(Section::Idle, 0)), "30 s");
        // Nothing is planned of it, and it is the last.
        assert_eq!(in_words(left_of(Section::Cold, 1)), "0 s");
    }
}
