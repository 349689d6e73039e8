//! The elements that pages are made of. Whatever text they are given is escaped here.

use std::fmt::Write;

use html_escape::encode_text as text;

use super::badge::{Badge, INTERVAL, interval};
use super::charts::{Line, Lines, Rows};
use super::figures::{Against, Goal};
use super::numbers::{NONE, decimals, ratio};
use super::tables::{Part, Table};
use crate::bench::peers::OURS;

/// A table that is not seen until it is asked for.
pub(crate) fn folded(part: &Part) -> anyhow::Result<String> {
    Ok(format!(
        "<details><summary>Table: {}</summary>\n{}</details>",
        text(&part.title),
        table(&part.title, &part.table)?
    ))
}

/// Sentences, as the paragraph `p` or one by one.
pub(crate) fn sentences(element: &str, sentences: &[String]) -> anyhow::Result<String> {
    if sentences.is_empty() {
        return Ok(String::new());
    }
    if element == "p" {
        return Ok(format!("<p>{}</p>\n", text(&sentences.join(" "))));
    }
    let mut out = format!("<{element} class=\"findings\">\n");
    for sentence in sentences {
        writeln!(out, "<li>{}</li>", text(sentence))?;
    }
    writeln!(out, "</{element}>")?;
    Ok(out)
}

/// A table that scrolls by itself where the page is narrow.
pub(crate) fn table(title: &str, table: &Table) -> anyhow::Result<String> {
    let label = html_escape::encode_double_quoted_attribute(title);
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table>\n<thead><tr>"
    );
    for head in &table.head {
        write!(out, "<th scope=\"col\">{}</th>", text(head))?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        let is_ours = row.first().is_some_and(|name| name == OURS.name);
        out.push_str(if is_ours {
            "<tr class=\"ours\">"
        } else {
            "<tr>"
        });
        for (index, cell) in row.iter().enumerate() {
            if index == 0 {
                write!(out, "<th scope=\"row\">{}</th>", text(cell))?;
            } else {
                write!(out, "<td>{}</td>", text(cell))?;
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    Ok(out)
}

/// Rows of marks, with keys to them.
pub(crate) fn rows(chart: &Rows, keys: &str) -> anyhow::Result<String> {
    Ok(figure(&chart.title, &chart.svg()?, keys))
}

/// Lines over time, with a key to them.
pub(crate) fn lines(chart: &Lines) -> anyhow::Result<String> {
    let key = |line: &Line| {
        let dashed = if line.is_dashed { " dashed" } else { "" };
        let class = format!("swatch {}{dashed}", line.tone.name());
        (class, line.label.clone())
    };
    let found: Vec<(String, String)> = chart.lines.iter().map(key).collect();
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(class, label)| (class.as_str(), label.as_str()))
        .collect();
    Ok(figure(&chart.title, &chart.svg()?, &keys(&found)))
}

/// What the marks of a chart mean: how each is drawn, and its meaning.
pub(crate) fn keys(keys: &[(&str, &str)]) -> String {
    let one = |(class, meaning): &(&str, &str)| {
        format!("<span class=\"key {class}\">{}</span> ", text(meaning))
    };
    let all: String = keys.iter().map(one).collect();
    format!("<p class=\"keys\">{all}</p>\n")
}

/// A chart with its title. Units are in the chart itself.
fn figure(title: &str, svg: &str, keys: &str) -> String {
    format!(
        "<figure><figcaption>{}</figcaption>\n{svg}{keys}</figure>\n",
        text(title)
    )
}

/// The goals, each with its badge, and what the badges mean.
pub(crate) fn goal_table(goals: &[Goal]) -> anyhow::Result<String> {
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Goals\">\
         <table class=\"goals\">\n<thead><tr><th scope=\"col\">scenario</th>\
         <th scope=\"col\">{0}</th><th scope=\"col\">{0} / floor</th>\
         <th scope=\"col\">{0} / best other</th></tr></thead>\n<tbody>\n",
        OURS.name
    );
    for goal in goals {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}<small>{}</small></th><td>{}</td>{}{}</tr>",
            text(goal.scenario.title),
            text(goal.figure.unit()),
            decimals(goal.ours.median),
            goal_cell(goal.floor.as_ref(), "floor"),
            goal_cell(goal.best_other.as_ref(), "other"),
        )?;
    }
    out.push_str("</tbody></table></div>\n");
    Ok(format!("<div>{out}{}</div>", legend()))
}

/// What the badges mean, by the numbers that stand beside them.
fn legend() -> String {
    let one = |badge: Badge| {
        let (class, mark) = (badge.class(), badge.mark());
        let meaning = badge.meaning();
        format!("<span class=\"key\"><span class=\"mark {class}\">{mark}</span> {meaning}</span> ")
    };
    let all: String = Badge::ALL.into_iter().map(one).collect();
    format!("<p class=\"keys\"><span class=\"key\">{INTERVAL}</span> {all}</p>\n")
}

/// Names and what they stand for.
pub(crate) fn definitions(terms: &[(String, &str)]) -> anyhow::Result<String> {
    if terms.is_empty() {
        return Ok(String::new());
    }
    let mut out = "<dl class=\"terms\">\n".to_owned();
    for (name, meaning) in terms {
        writeln!(out, "<dt>{}</dt><dd>{}.</dd>", text(name), text(meaning))?;
    }
    out.push_str("</dl>\n");
    Ok(out)
}

fn goal_cell(against: Option<&Against>, kind: &str) -> String {
    let Some(against) = against else {
        return format!("<td>{NONE}</td>");
    };
    let badge = against.badge();
    let interval = interval(&against.ratio);
    let interval = interval.map_or(String::new(), |ends| format!(" <span>{ends}</span>"));
    format!(
        "<td>{} <span class=\"mark {kind} {}\">{}</span><small>{}{interval}</small></td>",
        ratio(against.ratio.median),
        badge.class(),
        badge.mark(),
        text(against.server.trim_start_matches("floor: ")),
    )
}
