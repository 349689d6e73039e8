//! The report as one page of HTML: charts first, tables beneath them, nothing from elsewhere and no
//! script.

use std::fmt::Write;

use html_escape::encode_text as text;

use super::elements::{folded, goal_table, keys, lines, rows, sentences, table};
use super::figures::goals;
use super::palette;
use super::pictures;
use super::study;
use super::tables;
use super::words;
use crate::bench::peers::OURS;
use crate::bench::results::Results;
use crate::bench::section::Section;
use crate::bench::sizes::SCENARIOS;

/// A part of the page that can be pointed at.
struct Chapter {
    id: &'static str,
    /// In the list of parts.
    title: String,
    heading: String,
    body: String,
}

impl Chapter {
    fn of(section: Section, body: String) -> Self {
        Self {
            id: section.name(),
            title: section.title(),
            heading: section.heading(),
            body,
        }
    }
}

/// The whole page.
pub(crate) fn page(results: &Results) -> anyhow::Result<String> {
    let mut sections = vec![summary(results)?];
    sections.extend(study_section(results)?);
    sections.extend(sizes(results)?);
    sections.extend(cold(results)?);
    sections.extend(idle(results)?);
    sections.extend(micro(results));
    let mut out = String::new();
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} measured, {}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n",
        OURS.name,
        text(&results.date),
        palette::style_sheet(),
        include_str!("page.css"),
    )?;
    out.push_str(&head(results, &sections)?);
    out.push_str("<main>\n");
    for section in &sections {
        write!(
            out,
            "<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n",
            section.id, section.heading, section.body
        )?;
    }
    out.push_str(
        "</main>\n<footer>Made by <code>cargo xtask bench</code>. Every sample is in \
         <code>report.json</code> beside this page; what is measured and how is in \
         <code>BENCHMARKING.md</code> of the repository.</footer>\n</body>\n</html>\n",
    );
    Ok(out)
}

/// What was measured, where, and what was not.
fn head(results: &Results, sections: &[Chapter]) -> anyhow::Result<String> {
    let mut out = format!(
        "<header>\n<h1>{} measured</h1>\n\
         <p class=\"lead\">A static file server beside the bare system calls it is made of, and \
         beside other servers.</p>\n",
        OURS.name
    );
    if results.interrupted {
        out.push_str(
            "<p class=\"warning\"><strong>The run was interrupted.</strong> What is here was \
             measured until then.</p>\n",
        );
    }
    out.push_str("<ul class=\"facts\">\n");
    for (name, fact) in tables::facts(results) {
        writeln!(out, "<li><small>{name}</small>{}</li>", text(&fact))?;
    }
    out.push_str("</ul>\n");
    if !results.machine.notes.is_empty() || !results.skipped.is_empty() {
        out.push_str("<ul class=\"notes\">\n");
        for note in &results.machine.notes {
            writeln!(out, "<li>{}</li>", text(note))?;
        }
        for skipped in &results.skipped {
            write!(
                out,
                "<li>Not measured: <strong>{}</strong>, {}",
                text(&skipped.what),
                text(&skipped.why)
            )?;
            if let Some(mend) = &skipped.mend {
                write!(out, "; this helps: <code>{}</code>", text(mend))?;
            }
            out.push_str("</li>\n");
        }
        out.push_str("</ul>\n");
    }
    out.push_str("<nav aria-label=\"Parts of the report\">");
    for section in sections {
        write!(out, "<a href=\"#{}\">{}</a> ", section.id, section.title)?;
    }
    out.push_str("</nav>\n</header>\n");
    Ok(out)
}

fn summary(results: &Results) -> anyhow::Result<Chapter> {
    let mut body = String::new();
    let is_empty = results.micro.is_empty()
        && results.study.is_empty()
        && results.samples.is_empty()
        && results.cold.is_empty()
        && results.idle.is_empty();
    if is_empty {
        body.push_str("<p class=\"warning\">Nothing was measured.</p>\n");
    }
    body.push_str(&sentences("ul", &words::summary(results))?);
    let goals = goals(results);
    if !goals.is_empty() {
        let key = keys(&[
            ("ring", "over the floor"),
            ("dot ours", "over the best other server"),
            ("line ours", "its quartiles"),
        ]);
        let chart = rows(&pictures::ratios(results), &key)?;
        writeln!(
            body,
            "<div class=\"split\">{chart}{}</div>",
            goal_table(&goals)?
        )?;
    }
    Ok(Chapter {
        id: "summary",
        title: "Summary".to_owned(),
        heading: "Summary".to_owned(),
        body,
    })
}

fn study_section(results: &Results) -> anyhow::Result<Option<Chapter>> {
    let Some(part) = tables::study(results) else {
        return Ok(None);
    };
    let mut body = format!("<p>{}.</p>\n", text(&part.title));
    let ratios = pictures::study_ratios(results);
    body.push_str("<div class=\"split\">");
    body.push_str("<div>");
    body.push_str(&sentences("p", &study::paragraph(results))?);
    body.push_str("</div>");
    if let Some(ratios) = ratios {
        let key = keys(&[
            ("ring", "published"),
            ("dot sendfile", "ours, here"),
            ("tick sendfile", "the study's handlers in Go, here"),
        ]);
        body.push_str(&rows(&ratios, &key)?);
    }
    body.push_str("</div>\n<div class=\"grid\">\n");
    for chart in pictures::study_over_time(results) {
        body.push_str(&lines(&chart)?);
    }
    for chart in pictures::study_by_method(results) {
        // The one whose figures at the end are not its bars is that of latency.
        let key = if chart.values.is_some() {
            keys(&[
                ("thick", "p50 to p99"),
                ("tick", "longest"),
                ("ring", "mean"),
            ])
        } else {
            String::new()
        };
        body.push_str(&rows(&chart, &key)?);
    }
    body.push_str("</div>\n");
    body.push_str(&table(&part.title, &part.table)?);
    if let Some(published) = tables::published(results) {
        body.push_str("<h3>Beside what was published</h3>\n");
        body.push_str(&table("Beside what was published", &published)?);
    }
    Ok(Some(Chapter::of(Section::Study, body)))
}

fn sizes(results: &Results) -> anyhow::Result<Option<Chapter>> {
    let parts = tables::sizes(results);
    if parts.is_empty() {
        return Ok(None);
    }
    let mut body = format!(
        "<p>What the server costs: its CPU time for each request, or for each GB of the video. \
         Medians with quartiles; less is better.</p>\n{}<div class=\"grid\">\n",
        keys(&[
            ("swatch ours", "ours"),
            ("swatch other", "other servers"),
            ("swatch floor", "floors: the bare system calls"),
            ("whisker", "quartiles"),
        ])
    );
    for part in &parts {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.id == part.id);
        let charts = scenario.map_or_else(Vec::new, |scenario| pictures::sizes(results, scenario));
        for (index, chart) in charts.iter().enumerate() {
            let chart = rows(chart, "")?;
            // The table stands once, beneath the cost.
            let table = if index == 0 {
                folded(part)?
            } else {
                String::new()
            };
            writeln!(body, "<article>{chart}{table}</article>")?;
        }
    }
    body.push_str("</div>\n");
    Ok(Some(Chapter::of(Section::Sizes, body)))
}

fn cold(results: &Results) -> anyhow::Result<Option<Chapter>> {
    let parts = tables::cold(results);
    if parts.is_empty() {
        return Ok(None);
    }
    let mut body = format!(
        "<p>{}, alone and beside others that are slow or greedy: what \
         matters is how little their tail grows. Where fewer than half were answered, there is no \
         tail to tell; ≥ stands where some were not.</p>\n{}",
        tables::small_requests(),
        keys(&[
            ("ring", "alone"),
            ("dot ours", "beside, ours"),
            ("dot other", "beside, others")
        ])
    );
    for part in &parts {
        let chart = rows(&pictures::cold(results, &part.id), "")?;
        let table = table(&part.title, &part.table)?;
        writeln!(body, "<div class=\"split\">{chart}{table}</div>")?;
    }
    Ok(Some(Chapter::of(Section::Cold, body)))
}

fn idle(results: &Results) -> anyhow::Result<Option<Chapter>> {
    let Some(part) = tables::idle(results) else {
        return Ok(None);
    };
    let chart = rows(&pictures::idle(results), "")?;
    let body = format!(
        "<p>{}, each after one request: what the server keeps for each.</p>\n\
         <div class=\"split\">{chart}{}</div>\n",
        text(&part.title),
        table(&part.title, &part.table)?
    );
    Ok(Some(Chapter::of(Section::Idle, body)))
}

fn micro(results: &Results) -> Option<Chapter> {
    let parts = tables::micro(results);
    if parts.is_empty() {
        return None;
    }
    let mut body = "<p>Times of single steps, by criterion: medians with the interval that holds \
                    them in 95 of 100 cases. Ratios are to the bare system calls.</p>\n\
                    <div class=\"columns\">\n"
        .to_owned();
    for part in &parts {
        let table = table(&part.title, &part.table).ok()?;
        body.push_str(&format!(
            "<div><h3>{}</h3>\n{table}</div>\n",
            text(&part.title)
        ));
    }
    body.push_str("</div>\n");
    Some(Chapter::of(Section::Micro, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::made_up::{
        add_samples, cold as cold_of, empty, full, skipped, study,
    };

    fn page_of(results: &Results) -> String {
        let page = page(results).expect("a page");
        for wrong in ["NaN", ">inf", "-inf"] {
            assert!(!page.contains(wrong), "{wrong}");
        }
        page
    }

    #[test]
    fn everything_that_was_measured_is_on_the_page() {
        let page = page_of(&full());
        for scenario in &SCENARIOS {
            assert!(
                page.contains(&format!("<figcaption>{}", scenario.title)),
                "{}",
                scenario.id
            );
        }
        for part in ["summary", "study", "sizes", "cold", "idle", "micro"] {
            assert!(page.contains(&format!("<section id=\"{part}\">")), "{part}");
            assert!(page.contains(&format!("href=\"#{part}\"")), "{part}");
        }
        for section in Section::ALL {
            let heading = format!("<h2>{}</h2>", section.heading());
            assert!(page.contains(&heading), "{heading}");
        }
        for beside in crate::bench::cold::BESIDE {
            assert!(page.contains(&tables::beside_title(beside)), "{beside}");
        }
        for chart in [
            "Sendfile over copying",
            "CPU over time",
            "Memory over time",
            "Page faults over time",
            "Latency",
            "Requests per second",
            "Transfer rate",
            "Memory of an idle connection",
        ] {
            assert!(
                page.contains(&format!("<figcaption>{chart}</figcaption>")),
                "{chart}"
            );
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_no_script() {
        let page = page_of(&full());
        for elsewhere in [
            "<script", "<link", "src=", "url(", "@import", "http:", "https:",
        ] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("width=device-width"));
    }

    #[test]
    fn nothing_measured_is_said_so() {
        let page = page_of(&empty());
        assert!(page.contains("Nothing was measured."));
        assert!(!page.contains("<svg"));
        assert!(!page_of(&full()).contains("Nothing was measured."));
    }

    #[test]
    fn markup_in_names_is_text() {
        let mut results = full();
        let name = "a<b>&\"c'";
        results.command = vec![name.to_owned()];
        results.machine.cpu = name.to_owned();
        results.machine.notes = vec![name.to_owned()];
        results.skipped = vec![skipped(name, name)];
        results.micro[0].name = format!("{name}/{name}");
        results.study.push(study(name, 10.0, 1.0, 1e6));
        results.cold.push(cold_of("greedy", name, 3, 0));
        results.idle[1].server = name.to_owned();
        add_samples(&mut results, "1k", name, 9.0, 3);
        let page = page_of(&results);
        assert!(!page.contains("a<b>"));
        assert!(page.contains("a&lt;b&gt;&amp;"));
    }

    #[test]
    fn what_was_skipped_is_told_with_what_helps() {
        let mut results = full();
        results.skipped = vec![skipped("h2o", "apt-get install h2o")];
        let page = page_of(&results);
        assert!(page.contains("<strong>h2o</strong>, h2o is not installed"));
        assert!(page.contains("<code>apt-get install h2o</code>"));
    }

    #[test]
    fn an_interrupted_run_is_told_first() {
        let mut results = full();
        assert!(!page_of(&results).contains("interrupted"));
        results.interrupted = true;
        let page = page_of(&results);
        let told = page.find("The run was interrupted").expect("told");
        assert!(told < page.find("<main>").expect("a main part"));
    }

    #[test]
    fn marks_are_coloured_beyond_the_noise_alone() {
        let mut results = empty();
        let marks = |results: &Results| {
            let page = page_of(results);
            ["mark other less", "mark other more", "mark other noise"]
                .map(|mark| page.contains(mark))
        };
        add_samples(&mut results, "1k", "zc", 10.0, 5);
        add_samples(&mut results, "1k", "nginx", 10.1, 5);
        assert_eq!(marks(&results), [false, false, true]);
        results.samples.truncate(5);
        add_samples(&mut results, "1k", "nginx", 20.0, 5);
        assert_eq!(marks(&results), [true, false, false]);
        results.samples.truncate(5);
        add_samples(&mut results, "1k", "nginx", 5.0, 5);
        assert_eq!(marks(&results), [false, true, false]);
        results.samples.retain(|sample| sample.round < 2);
        assert_eq!(marks(&results), [false, false, true]);
    }

    #[test]
    fn figures_of_nothing_are_dashes() {
        let mut results = full();
        for sample in &mut results.samples {
            sample.server_cpu_seconds = 0.0;
            sample.load.seconds = 0.0;
        }
        results
            .samples
            .iter_mut()
            .filter(|sample| sample.server == "nginx")
            .for_each(|sample| {
                sample.load = crate::bench::results::Load::default();
            });
        for study in &mut results.study {
            study.seconds.clear();
            study.wrk = crate::bench::results::Wrk::default();
        }
        for cold in &mut results.cold {
            cold.alone = crate::bench::results::Load::default();
            cold.together = crate::bench::results::Load::default();
            cold.disk_bytes_per_second = Some(0.0);
        }
        results
            .idle
            .iter_mut()
            .for_each(|idle| idle.user_bytes_each = -3.0);
        results
            .micro
            .iter_mut()
            .for_each(|micro| micro.median = f64::NAN);
        let page = page_of(&results);
        assert!(page.contains("no answer"));
        assert!(page.contains("none that was seen"));
    }
}
