//! The report as one page of HTML: charts first, tables beneath them, nothing from elsewhere and no
//! script.

use std::fmt::Write;

use html_escape::encode_text as text;

use super::elements::{definitions, folded, goal_table, keys, lines, rows, sentences, table};
use super::figures::goals;
use super::micro;
use super::palette;
use super::pictures;
use super::study::{self, SOURCE};
use super::tables;
use super::terms::terms;
use super::warnings::warnings;
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
    sections.extend(micro_section(results)?);
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
    for warning in warnings(results) {
        writeln!(out, "<p class=\"warning\">{}</p>", text(&warning))?;
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
    body.push_str(&definitions(&terms(results))?);
    let goals = goals(results);
    if !goals.is_empty() {
        let key = keys(&[
            ("ring", "over the floor"),
            ("dot ours", "over the best other server"),
            ("line ours", "from the least round to the greatest"),
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
    let mut body = String::from("<div class=\"split\"><div>");
    if let Some(sentence) = study::opening(results) {
        writeln!(body, "<p class=\"opening\">{}</p>", text(&sentence))?;
    }
    writeln!(
        body,
        "<p>This repeats <a href=\"{}\">{}</a> (<a href=\"{}\">code</a>): {}. {}</p>",
        SOURCE.article,
        SOURCE.title,
        SOURCE.code,
        text(&lower_first(&part.title)),
        text(study::of_go(results).unwrap_or_default()),
    )?;
    body.push_str(&sentences("p", &study::sentences(results))?);
    body.push_str("</div>");
    let ratios = pictures::study_ratios(results);
    if let Some(ratios) = ratios {
        let mut key = vec![("ring", "published"), ("dot sendfile", "ours, here")];
        if study::of_go(results).is_some() {
            key.push(("tick sendfile", "its handlers in Go, here"));
        }
        body.push_str(&rows(&ratios, &keys(&key))?);
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
         Medians of the rounds, with the least and the greatest; less is better.</p>\n{}\
         <div class=\"grid\">\n",
        keys(&[
            ("swatch ours", "ours"),
            ("swatch other", "other servers"),
            ("swatch floor", "floors: the bare system calls"),
            ("whisker", "from the least round to the greatest"),
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
    body.push_str("<div class=\"grid\">\n");
    for part in &parts {
        body.push_str(&rows(&pictures::cold(results, &part.id), "")?);
    }
    body.push_str("</div>\n");
    // Too wide to stand beside anything.
    for part in &parts {
        writeln!(body, "<h3>{}</h3>", text(&part.title))?;
        body.push_str(&table(&part.title, &part.table)?);
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

fn micro_section(results: &Results) -> anyhow::Result<Option<Chapter>> {
    let parts = micro::micro(results);
    if parts.is_empty() {
        return Ok(None);
    }
    let mut body = "<p>Times of single steps, by criterion: medians with the interval that holds \
                    them in 95 of 100 cases. Ratios are to the bare system calls.</p>\n\
                    <div class=\"columns\">\n"
        .to_owned();
    for part in &parts {
        let table = table(&part.title, &part.table)?;
        writeln!(body, "<div><h3>{}</h3>\n{table}</div>", text(&part.title))?;
    }
    body.push_str("</div>\n");
    Ok(Some(Chapter::of(Section::Micro, body)))
}

/// A title as it goes on a sentence.
fn lower_first(title: &str) -> String {
    let mut chars = title.chars();
    let first = chars.next().into_iter().flat_map(char::to_lowercase);
    first.chain(chars).collect()
}

#[cfg(test)]
mod tests;
