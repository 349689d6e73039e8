//! The report as one page of HTML: charts first, tables beneath them, nothing from elsewhere and no
//! script.

use std::fmt::Write;

use html_escape::{encode_double_quoted_attribute as attribute, encode_text as text};

use super::badge::{Badge, INTERVAL};
use super::charts::keys;
use super::pictures;
use super::ratios::SOURCE;
use super::tables::{self, Part, Table};
use super::warnings::warnings;
use crate::bench::peers::OURS;
use crate::bench::results::Results;
use crate::bench::scenarios::SCENARIOS;
use crate::bench::section::Section;

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let chapters = [
        (Section::Study, study(results)),
        (Section::Sizes, sizes(results, Section::Sizes)),
        (Section::Tls, by_tls(results)),
        (Section::Cold, cold(results)),
        (Section::Idle, idle(results, Section::Idle)),
        (Section::Micro, micro(results)),
    ];
    let chapters = chapters.into_iter().filter(|(_, body)| !body.is_empty());
    let chapters: Vec<(Section, String)> = chapters.collect();
    let mut links = String::from("<a href=\"#summary\">Summary</a> ");
    let mut bodies = String::new();
    for (section, body) in &chapters {
        let (id, title, heading) = (section.name(), section.title(), section.heading());
        let caption = text(&tables::caption(*section)).into_owned();
        let _ = write!(links, "<a href=\"#{id}\">{title}</a> ");
        let _ = write!(
            bodies,
            "<section id=\"{id}\">\n<h2>{heading}</h2>\n<p>{caption}</p>\n{body}</section>\n"
        );
    }
    if chapters.is_empty() {
        bodies.push_str("<p class=\"warning\">Nothing was measured.</p>\n");
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name} measured, {date}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <header>\n<h1>{name} measured</h1>\n{head}<nav aria-label=\"Parts of the report\">{links}</nav>\n\
         </header>\n<main>\n<section id=\"summary\">\n<h2>Summary</h2>\n{summary}</section>\n{bodies}\
         </main>\n<footer>Written by <code>cargo xtask bench</code>. Every sample is in \
         <code>report.json</code> in the same directory; <code>BENCHMARKING.md</code> in the repository \
         explains what is measured and how.</footer>\n</body>\n</html>\n",
        name = OURS.name,
        date = text(&results.date),
        style = include_str!("page.css"),
        head = head(results),
        summary = summary(results),
    )
}

/// What has to be known first, what was measured, where, and what was not.
fn head(results: &Results) -> String {
    let mut out = String::new();
    for warning in warnings(results) {
        let _ = writeln!(out, "<p class=\"warning\">{}</p>", text(&warning));
    }
    out.push_str("<ul class=\"facts\">\n");
    for (name, fact) in tables::facts(results) {
        let _ = writeln!(out, "<li><small>{name}</small>{}</li>", text(&fact));
    }
    out.push_str("</ul>\n");
    let note = |note: String| format!("<li>{}</li>\n", text(&note));
    let notes: String = tables::notes(results).into_iter().map(note).collect();
    if !notes.is_empty() {
        let _ = writeln!(out, "<ul class=\"notes\">\n{notes}</ul>");
    }
    out
}

fn summary(results: &Results) -> String {
    let mut out = String::new();
    let terms = tables::terms(results);
    if !terms.is_empty() {
        out.push_str("<dl class=\"terms\">\n");
        for (name, meaning) in &terms {
            let _ = writeln!(out, "<dt>{}</dt><dd>{}.</dd>", text(name), text(meaning));
        }
        out.push_str("</dl>\n");
    }
    if let Some(goals) = tables::goal_table(results) {
        let chart = pictures::ratios(results).html();
        let table = table("Compared with the floor and other servers", &goals);
        let _ = write!(out, "<div class=\"one\">{chart}</div>\n{table}{}", legend());
    }
    out
}

/// What the badges mean, by the numbers that stand beside them.
fn legend() -> String {
    let one = |badge: Badge| {
        let (class, mark, meaning) = (badge.class(), badge.mark(), badge.meaning());
        format!("<span class=\"key\"><span class=\"mark {class}\">{mark}</span> {meaning}</span> ")
    };
    let all: String = Badge::ALL.into_iter().map(one).collect();
    format!("<p class=\"keys\"><span class=\"key\">{INTERVAL}</span> {all}</p>\n")
}

fn study(results: &Results) -> String {
    let Some(part) = tables::study(results) else {
        return String::new();
    };
    let (title, article, code) = (SOURCE.title, SOURCE.article, SOURCE.code);
    let mut out = format!(
        "<p>It repeats <a href=\"{article}\">{title}</a> (<a href=\"{code}\">code</a>).</p>\n\
         <div class=\"grid\">\n"
    );
    out.extend(
        pictures::study_over_time(results)
            .iter()
            .map(|chart| chart.html()),
    );
    out.extend(
        pictures::study_by_method(results)
            .iter()
            .map(|chart| chart.html()),
    );
    out.push_str("</div>\n");
    out.push_str(&titled(&part));
    out.extend(tables::published(results).as_ref().map(titled));
    out
}

fn by_tls(results: &Results) -> String {
    sizes(results, Section::Tls) + &idle(results, Section::Tls)
}

fn sizes(results: &Results, section: Section) -> String {
    let charts_and_table = |part: &Part| {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.id == part.id);
        let charts = scenario.map_or_else(Vec::new, |scenario| pictures::sizes(results, scenario));
        let charts: String = charts.iter().map(|chart| chart.html()).collect();
        let (title, table) = (text(&part.title), table(&part.title, &part.table));
        format!(
            "<article>{charts}<details><summary>Table: {title}</summary>\n{table}</details></article>\n"
        )
    };
    let parts: String = tables::sizes(results, section)
        .iter()
        .map(charts_and_table)
        .collect();
    grid(pictures::KEYS_OF_SIZES, &parts)
}

fn cold(results: &Results) -> String {
    let parts = tables::cold(results);
    let charts = parts
        .iter()
        .map(|part| pictures::cold(results, &part.id).html());
    let charts: String = charts.collect();
    // Too wide to stand beside anything.
    grid(pictures::KEYS_OF_COLD, &charts) + &parts.iter().map(titled).collect::<String>()
}

fn idle(results: &Results, section: Section) -> String {
    let Some(part) = tables::idle(results, section) else {
        return String::new();
    };
    let chart = pictures::idle(&part.title, &tables::idle_of(results, section)).html();
    let table = titled(&part);
    format!("<div class=\"split\">{chart}<div>{table}</div></div>\n")
}

fn micro(results: &Results) -> String {
    let parts = tables::micro(results);
    let parts = parts
        .iter()
        .map(|part| format!("<div>{}</div>\n", titled(part)));
    let parts: String = parts.collect();
    if parts.is_empty() {
        return parts;
    }
    format!("<div class=\"columns\">\n{parts}</div>\n")
}

/// Charts side by side, with what their marks mean.
fn grid(marks: &[(&str, &str)], charts: &str) -> String {
    if charts.is_empty() {
        return String::new();
    }
    format!("{}<div class=\"grid\">\n{charts}</div>\n", keys(marks))
}

/// A table under its title.
fn titled(part: &Part) -> String {
    let table = table(&part.title, &part.table);
    format!("<h3>{}</h3>\n{table}", text(&part.title))
}

/// A table that scrolls by itself where the page is narrow.
fn table(title: &str, table: &Table) -> String {
    let label = attribute(title);
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table>\n<thead><tr>"
    );
    for head in &table.head {
        let _ = write!(out, "<th scope=\"col\">{}</th>", text(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        let is_ours = row.first().is_some_and(|name| name == OURS.name);
        out.push_str(if is_ours {
            "<tr class=\"ours\">"
        } else {
            "<tr>"
        });
        for (index, (cell, head)) in row.iter().zip(&table.head).enumerate() {
            let _ = match index {
                0 => write!(out, "<th scope=\"row\">{}</th>", text(cell)),
                _ => write!(out, "<td>{}</td>", marked(cell, head)),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// The text of a cell, in which a badge at the end has its colour.
fn marked(cell: &str, head: &str) -> String {
    let badge = Badge::ALL.into_iter().find_map(|badge| {
        let before = cell.strip_suffix(badge.mark())?;
        let against = if head.ends_with("floor") {
            "floor"
        } else {
            "other"
        };
        let (class, mark, before) = (badge.class(), badge.mark(), text(before));
        Some(format!(
            "{before}<span class=\"mark {against} {class}\">{mark}</span>"
        ))
    });
    badge.unwrap_or_else(|| text(cell).into_owned())
}

#[cfg(test)]
mod tests;
