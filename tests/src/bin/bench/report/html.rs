//! The report for people: one page that needs nothing else.

use super::{Chapter, Group, Report, Target, chart, in_words, number};
use crate::measurement::Measurement;
use std::fmt::Write as _;

/// How the page looks, by day and by night.
const STYLE: &str = include_str!("html/style.css");

/// The report as a page.
pub fn of(report: &Report) -> String {
    let tally = report.tally();
    let machine = &report.machine;
    let mut page = format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<title>svc-lb: what was measured</title>
<style>
{STYLE}</style>
</head>
<body>
<h1>svc-lb: what was measured</h1>
<p class=\"tally\"><b class=\"met\">{} targets met</b>, <b class=\"{}\">{} missed</b></p>
<p class=\"machine\">{}{} · Linux {} · {} × {} · commit {}</p>
",
        tally.met,
        if tally.missed == 0 { "met" } else { "missed" },
        tally.missed,
        escaped(&machine.date),
        if report.quick { " · few rounds (--quick)" } else { "" },
        escaped(&machine.kernel),
        machine.processors,
        escaped(&machine.processor),
        escaped(&machine.commit),
    );
    add_targets(&mut page, report);
    page.push_str(
        "<p class=\"legend\">A bar is a median over the rounds, the line on it goes from the least to the most; \
         an upright mark is where a target would just be met. Of what has /s in its unit, more is better, of all \
         else less.</p>\n",
    );
    for chapter in &report.chapters {
        add_chapter(&mut page, chapter);
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// All targets, those that are missed first.
fn add_targets(page: &mut String, report: &Report) {
    let (met, missed): (Vec<Target>, Vec<Target>) = report.targets().partition(|target| target.met);
    if met.is_empty() && missed.is_empty() {
        return;
    }
    page.push_str("<table class=\"targets\">\n<tr><th><th>what<th>compared<th>target\n");
    for Target { group, measurement, comparison, met } in missed.into_iter().chain(met) {
        let unit = measurement.unit.symbol();
        let [compared, target] = in_words(comparison, unit);
        let compared =
            if compared.is_empty() { format!("{} {unit}", number(measurement.median())) } else { compared };
        let (class, word) = if met { ("met", "met") } else { ("missed", "MISSED") };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "<tr><td class=\"{class}\">{word}<td>{}<br><small>{}</small><td>{}<td>{}",
            escaped(&measurement.name),
            escaped(&group.title),
            escaped(&compared),
            escaped(&target)
        );
    }
    page.push_str("</table>\n");
}

fn add_chapter(page: &mut String, chapter: &Chapter) {
    let _ = writeln!(page, "<h2>{}</h2>", escaped(&chapter.benchmark));
    for group in &chapter.groups {
        let _ = writeln!(page, "<h3>{}</h3>", escaped(&group.title));
        let _ = writeln!(page, "<div class=\"chart\">\n{}</div>", chart::of(group));
        add_table(page, group);
    }
}

/// The values, for who wants to see them.
fn add_table(page: &mut String, group: &Group) {
    page.push_str("<details><summary>values</summary>\n<table>\n");
    page.push_str("<tr><th>");
    for column in ["median", "least", "most"] {
        let _ = write!(page, "<th class=\"number\">{column}");
    }
    page.push_str("<th><th class=\"number\">rounds<th>compared<th>target\n");
    for measurement in &group.measurements {
        add_values(page, measurement);
    }
    page.push_str("</table>\n</details>\n");
}

/// A line for the values, and the comparisons within it.
fn add_values(page: &mut String, measurement: &Measurement) {
    let (least, most) = measurement.range();
    let [median, least, most] = [measurement.median(), least, most].map(number);
    let unit = measurement.unit.symbol();
    let words: Vec<[String; 2]> = measurement.comparisons.iter().map(|it| in_words(it, unit)).collect();
    let column =
        |which: usize| words.iter().map(|words| escaped(&words[which])).collect::<Vec<_>>().join("<br>");
    let _ = writeln!(
        page,
        "<tr><td>{}<td class=\"number\">{median}<td class=\"number\">{least}<td class=\"number\">{most}<td>{unit}<td class=\"number\">{}<td>{}<td>{}",
        escaped(&measurement.name),
        measurement.values.len(),
        column(0),
        column(1)
    );
}

/// A text with what has a meaning in HTML written so that it has none.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_else_and_begins_with_what_is_missed() {
        let page = of(&super::super::tests::report());
        for elsewhere in ["http:", "https:", "src=", "<script", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        let (missed, met) = (page.find(">MISSED<"), page.find(">met<"));
        assert!(missed.is_some() && missed < met, "{page}");
        assert!(page.contains("2 × A &amp; B"), "{page}");
    }
}
