//! Verdicts for people and for programs.

use blockyard::job::verify::{Check, Counted, Finding, Summary};
use serde_json::json;

use super::repair::Repair;
use crate::tools::table::{Cell, Table};
use crate::tools::text as show;

/// A table of verdicts, findings below, and a summary.
pub(super) fn text(summary: &Summary, repairs: &[Repair]) -> String {
    let mut table = Table::new(["ULID", "VERDICT", "#SERIES", "#CHUNKS", "#SAMPLES", "#ISSUES"]);
    let count = |n: u64| if n == 0 { Cell::text("-") } else { Cell::number(show::thousands(n.into()), n) };
    for v in &summary.blocks {
        let issues = v.findings.listed().len() as u64 + v.findings.unlisted();
        let verdict = if issues == 0 { "ok" } else { "not ok" };
        let Counted { series, chunks, samples, .. } = v.counted;
        table.rows.push(vec![
            Cell::text(v.block.to_string()),
            Cell::text(verdict),
            count(series),
            count(chunks),
            count(samples),
            count(issues),
        ]);
    }
    let mut out = if table.rows.is_empty() { String::new() } else { table.to_text() };
    for v in summary.blocks.iter().filter(|v| !v.findings.is_empty()) {
        out.push_str(&format!("\n{}\n", v.block));
        let mut line = |check: &str, text: &str| out.push_str(&format!("  {check}: {text}\n"));
        v.findings.listed().iter().for_each(|f| line(f.check.as_str(), &f.to_string()));
        if v.findings.unlisted() > 0 {
            line("more", &format!("{} of the same kinds", v.findings.unlisted()));
        }
    }
    for group in &summary.groups {
        out.push_str(&format!("\ngroup {}\n  {}: {}\n", group.group, group.check, group.text));
    }
    for (id, why) in &summary.partial {
        out.push_str(&format!("\n{id} is no whole block: {why}\n"));
    }
    if !repairs.is_empty() {
        out.push('\n');
    }
    for repair in repairs {
        out.push_str(&format!("repair of {} ({}): {}\n", repair.block, repair.check, repair.said()));
    }
    out.push_str(&format!("\n{}\n", conclusion(summary)));
    out
}

fn conclusion(summary: &Summary) -> String {
    let read = show::bytes(summary.bytes_read);
    let mut text = format!("{} of {} blocks ok", summary.blocks.len() - summary.damaged(), summary.blocks.len());
    if !summary.groups.is_empty() {
        text.push_str(&format!(", {} findings about groups", summary.groups.len()));
    }
    if !summary.partial.is_empty() {
        text.push_str(&format!(", {} folders that are no whole blocks", summary.partial.len()));
    }
    if summary.resumed > 0 {
        text.push_str(&format!(", {} of them verified by the run before", summary.resumed));
    }
    text + &format!("; {read} read")
}

/// One document.
pub(super) fn json(summary: &Summary, checks: &[Check], repairs: &[Repair]) -> String {
    let finding = |f: &Finding| json!(f);
    let blocks: Vec<_> = summary
        .blocks
        .iter()
        .map(|v| {
            json!({
                "ulid": v.block,
                "ok": v.findings.is_empty(),
                "findings": v.findings.listed().iter().map(finding).collect::<Vec<_>>(),
                "more_findings": v.findings.unlisted(),
                "counted": v.counted,
            })
        })
        .collect();
    let partial: Vec<_> = summary.partial.iter().map(|(id, why)| json!({"ulid": id, "why": why})).collect();
    let mut document = json!({
        "checks": checks,
        "blocks": blocks,
        "groups": summary.groups,
        "partial": partial,
        "summary": {
            "blocks": summary.blocks.len(),
            "not_ok": summary.damaged(),
            "resumed": summary.resumed,
            "bytes_read": summary.bytes_read,
        },
    });
    if !repairs.is_empty() {
        document["repairs"] = json!(repairs);
    }
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
