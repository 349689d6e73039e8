use super::*;
use crate::bench::report::made_up::{add_samples, cold as cold_of, empty, full, skipped, study};
use crate::bench::results::{Load, Wrk};

fn page_of(results: &Results) -> String {
    let page = page(results);
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
    for part in ["summary", "study", "sizes", "tls", "cold", "idle", "micro"] {
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
        "CPU over time",
        "Memory over time",
        "Page faults over time",
        "Latency",
        "Throughput",
        "Memory of each of 10,000 idle connections",
        "Memory of each of 2,000 idle connections by TLS",
    ] {
        assert!(
            page.contains(&format!("<figcaption>{chart} <small>")),
            "{chart}"
        );
    }
}

#[test]
fn what_the_whole_machine_did_is_drawn_where_it_was_looked_at() {
    let title = "<figcaption>300 MB: the whole machine <small>";
    let mut results = full();
    assert!(page_of(&results).contains(title));
    for sample in &mut results.samples {
        sample.machine_cpu_seconds = None;
    }
    assert!(!page_of(&results).contains(title));
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_no_script() {
    let page = page_of(&full());
    for elsewhere in ["<script", "<link", "src=", "url(", "@import", "http:"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    // A reader may go there; the page does not.
    let links = page.matches("<a href=\"https:").count();
    assert_eq!(page.matches("https:").count(), links);
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
    let told = "<li>Skipped: h2o: h2o is not installed; run `apt-get install h2o`</li>";
    assert!(page.contains(told));
}

#[test]
fn what_has_to_be_known_first_is_told_first() {
    let mut results = full();
    assert!(!page_of(&results).contains("class=\"warning\""));
    results.interrupted = true;
    results.samples[0].foreign = vec![0.5, 0.0];
    let page = page_of(&results);
    let facts = page.find("class=\"facts\"").expect("facts");
    for words in ["The run was interrupted", "Other programs disturbed 1 of"] {
        let told = page.find(words).expect(words);
        assert!(told < facts, "{words}");
    }
}

#[test]
fn the_study_names_what_it_repeats_before_its_figures() {
    let page = page_of(&full());
    let section = page
        .split("<section id=\"study\">")
        .nth(1)
        .expect("the study");
    let at = |words: &str| section.find(words).expect(words);
    let title = at("How I used Zero-Copy To Achieve Blazingly Fast File Transfers");
    let code = at("href=\"https://github.com/probablysamir/zero-copy-go\"");
    assert!(title < code && code < at("<svg") && code < at("<table"));
    assert!(section.contains("Compared with the published figures"));
}

#[test]
fn floors_and_variants_are_explained_before_the_first_table_that_has_them() {
    let mut results = full();
    for server in ["floor: MORE + sendfile", "zc (bodies off)"] {
        add_samples(&mut results, "1m", server, 9.0, 5);
    }
    let page = page_of(&results);
    for name in ["floor: MORE + sendfile", "zc (bodies off)"] {
        let first = page.find(name).expect(name);
        let explained = page.find(&format!("<dt>{name}</dt><dd>")).expect(name);
        assert_eq!(first, explained + "<dt>".len(), "{name}");
    }
    assert!(page.find("<dl").expect("a list") < page.find("<table").expect("a table"));
}

#[test]
fn the_legend_has_every_badge_and_stands_beneath_the_badges() {
    let page = page_of(&full());
    let (_, behind) = page
        .split_once("aria-label=\"Compared with")
        .expect("goals");
    let (_, legend) = behind.split_once("<p class=\"keys\">").expect("a legend");
    let (legend, _) = legend.split_once("</p>").expect("its end");
    for badge in Badge::ALL {
        let told = format!("{}</span> {}<", badge.mark(), badge.meaning());
        assert!(legend.contains(&told), "{told}");
    }
}

#[test]
fn marks_are_coloured_beyond_the_noise_alone() {
    let mut results = empty();
    let marks = |results: &Results| {
        let page = page_of(results);
        ["mark other less", "mark other more", "mark other noise"].map(|mark| page.contains(mark))
    };
    add_samples(&mut results, "1k", "zc", 10.0, 5);
    // As shown, the ratio is 1.00.
    add_samples(&mut results, "1k", "nginx", 10.02, 5);
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
        if sample.server == "nginx" {
            sample.load = Load::default();
        }
    }
    for study in &mut results.study {
        study.seconds.clear();
        study.wrk = Wrk::default();
    }
    for cold in &mut results.cold {
        cold.alone = Load::default();
        cold.together = Load::default();
        cold.disk_bytes_per_second = Some(0.0);
    }
    results.idle[0].user_bytes_each = -3.0;
    results.micro[0].median = f64::NAN;
    let page = page_of(&results);
    assert!(page.contains("no answer"));
    assert!(page.contains("none measured"));
}
