//! `--repair`: what is done about what was found.

use blockyard::bucket::Bucket;
use blockyard::job::Env;
use blockyard::job::catalog::Catalog;
use blockyard::job::repair::{self, Outcome, Planned};
use blockyard::job::verify::{Check, Summary};
use blockyard::model::{BlockId, Millis};
use blockyard::{Error, Kind, Result};
use serde::Serialize;

use super::Flags;

/// What came of one repair.
#[derive(Debug, Serialize)]
pub(super) struct Repair {
    pub(super) block: BlockId,
    pub(super) check: Check,
    /// The block that took its place.
    pub(super) replaced_by: Option<BlockId>,
    /// Why it is as it was.
    pub(super) error: Option<String>,
    #[serde(skip)]
    kind: Option<Kind>,
}

impl Repair {
    /// Whether something went wrong beside the block that cannot be repaired.
    pub(super) fn is_trouble(&self) -> bool {
        self.kind.is_some_and(|kind| !matches!(kind, Kind::Corrupt | Kind::Unsupported))
    }

    /// What came of it, in words.
    pub(super) fn said(&self) -> String {
        match (&self.error, self.replaced_by) {
            (Some(error), _) => format!("not repaired: {error}"),
            (None, Some(new)) => format!("replaced by {new}"),
            (None, None) => "removed".to_owned(),
        }
    }
}

/// Names of issues as checks that can be repaired; when nobody names any, the one of upstream's defaults.
pub(super) fn checks(names: &[String]) -> Result<Vec<Check>> {
    if names.is_empty() {
        return Ok(vec![Check::IndexKnownIssues]);
    }
    let invalid = |why: String| Error::new(Kind::Invalid, why).next("use index_known_issues, duplicated_compaction");
    let mut checks = Vec::new();
    for name in names {
        let check: Check = name.parse().map_err(invalid)?;
        if !repair::is_repairable(check) {
            let next = "use index_known_issues, duplicated_compaction; `tools bucket rewrite --salvage` takes over what can be \
                        read of a damaged block";
            return Err(Error::new(Kind::Invalid, format!("no such issue ID {name} that can be repaired")).next(next));
        }
        checks.push(check);
    }
    checks.sort();
    checks.dedup();
    Ok(checks)
}

/// The bucket for copies of blocks, where blocks are to be repaired.
pub(super) async fn backup(flags: &Flags) -> Result<Option<Bucket>> {
    if !flags.repair {
        return Ok(None);
    }
    let backup = flags.backup.open().await?.ok_or_else(|| {
        Error::new(Kind::Invalid, "repair is specified, so backup client is required")
            .next("set --objstore-backup.config-file=PATH, or --objstore-backup.config=YAML")
    })?;
    backup.check().await?;
    Ok(Some(backup))
}

/// Repairs what can be repaired of what was found.
pub(super) async fn run(
    env: &Env,
    catalog: &Catalog,
    found: &Summary,
    backup: Bucket,
    delete_delay: Millis,
    verifiers: &str,
) -> Result<Vec<Repair>> {
    let plan = repair::plan(catalog, found);
    let options = repair::Options { backup, delete_delay };
    let mut repairs = Vec::new();
    let mut hear = |planned: &Planned, outcome: &Outcome| {
        let (id, verifier) = (planned.block.to_string(), planned.check.as_str());
        let mut repair = Repair { block: planned.block, check: planned.check, replaced_by: None, error: None, kind: None };
        match outcome {
            Outcome::Replaced(new) => {
                tracing::info!(verifiers, verifier, id, newID = %new, "all good, continuing");
                repair.replaced_by = Some(*new);
            }
            Outcome::Removed => tracing::info!(verifiers, verifier, id, "Removed block"),
            Outcome::Failed(error) => {
                tracing::error!(verifiers, verifier, id, err = %error, "could not repair block");
                repair.error = Some(error.to_string());
                repair.kind = Some(error.kind());
            }
        }
        repairs.push(repair);
    };
    repair::run(env, catalog, &plan, &options, &mut hear).await?;
    Ok(repairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_repaired() {
        let checks = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            checks(&names).map(|c| c.iter().map(|c| c.as_str()).collect::<Vec<_>>()).map_err(|e| e.to_string())
        };
        assert_eq!(checks(&[]).unwrap(), ["index_known_issues"]);
        let both = ["duplicated_compaction", "index_known_issues", "duplicated_compaction"];
        assert_eq!(checks(&both).unwrap(), ["index_known_issues", "duplicated_compaction"]);
        for name in ["overlapped_blocks", "chunks"] {
            assert!(checks(&[name]).unwrap_err().contains(&format!("no such issue ID {name} that can be repaired")));
        }
        assert!(checks(&["nope"]).unwrap_err().contains("no such issue ID nope"));
    }
}
