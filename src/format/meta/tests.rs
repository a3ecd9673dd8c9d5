//! Text both ways, and what is refused.

use super::*;

/// Everything that Go knows, as Go writes it.
const FULL: &str = include_str!("../../../testdata/meta/full.json");

fn round(text: &str) -> String {
    String::from_utf8(Meta::decode(text.as_bytes()).unwrap_or_else(|e| panic!("{e}")).encode()).unwrap()
}

#[test]
fn every_field_both_ways() {
    assert_eq!(round(FULL), FULL);
    let meta = Meta::decode(FULL.as_bytes()).unwrap();
    assert_eq!(meta.ulid.to_string(), "01M7YZKHRZVWY3CT90HHYAPF89");
    assert_eq!(meta.time_range(), TimeRange::new(-7_200_000, 1_767_578_400_000));
    assert_eq!((meta.stats.num_samples, meta.stats.num_tombstones), (21_600, 3));
    assert_eq!((meta.compaction.level, meta.sources().len(), meta.compaction.parents.len()), (3, 2, 2));
    assert!(meta.compaction.failed && meta.compaction.deletable);
    assert_eq!(meta.compaction.hints, ["from-out-of-order"]);
    assert_eq!(meta.labels().get("odd"), Some("<a>&\"\\\u{2028}é"));
    assert_eq!(meta.resolution(), 300_000);
    assert_eq!(meta.file_bytes("index"), Some(9965));
    assert_eq!(meta.file_bytes("meta.json"), None);
    assert_eq!(meta.thanos.files[0].hash.as_ref().unwrap().func, "SHA256");
    assert_eq!(meta.thanos.rewrites.len(), 1);
    assert_eq!(meta.thanos.index_stats.chunk_max_size, 500);
    assert_eq!(meta.thanos.upload_time.millis(), 1_795_262_368_742);
}

#[test]
fn metas_of_a_real_thanos_come_back_to_the_byte() {
    for text in [include_str!("../../../testdata/meta/repaired.json"), include_str!("../../../testdata/meta/compacted.json")] {
        assert_eq!(round(text), text);
    }
}

#[test]
fn what_is_unknown_is_kept_at_every_level() {
    let text = include_str!("../../../testdata/meta/unknown.json");
    assert_eq!(round(text), text);
    let meta = Meta::decode(text.as_bytes()).unwrap();
    let of_stats: Vec<_> = meta.stats.unknown.iter().collect();
    assert_eq!(of_stats, [("numExemplars", "18446744073709551616")]);
}

#[test]
fn empty_sections_as_go_writes_them() {
    let bare = r#"{"version": 1, "ulid": "01M7YZKHRZVWY3CT90HHYAPF89", "compaction": null}"#;
    let written = "{\n\t\"ulid\": \"01M7YZKHRZVWY3CT90HHYAPF89\",\n\t\"minTime\": 0,\n\t\"maxTime\": 0,\n\t\"stats\": {},\n\
        \t\"compaction\": {\n\t\t\"level\": 0\n\t},\n\t\"version\": 1,\n\t\"thanos\": {\n\t\t\"labels\": null,\n\
        \t\t\"downsample\": {\n\t\t\t\"resolution\": 0\n\t\t},\n\t\t\"source\": \"\",\n\t\t\"index_stats\": {},\n\
        \t\t\"upload_time\": \"0001-01-01T00:00:00Z\"\n\t}\n}\n";
    assert_eq!(round(bare), written);
    assert_eq!(round(written), written);
    assert!(Meta::decode(bare.as_bytes()).unwrap().labels().is_empty());
    let empty_labels = written.replace("null", "{}");
    assert_eq!(round(&empty_labels), empty_labels);
}

#[test]
fn group_keys_as_upstream_has_them() {
    let key = |pairs: &[(&str, &str)], resolution| {
        let mut meta = Meta::default();
        meta.thanos.labels = LabelSet::from_iter(pairs.iter().copied()).into();
        meta.thanos.downsample.resolution = resolution;
        meta.group_key()
    };
    assert_eq!(key(&[], 0), "0@17241709254077376921");
    assert_eq!(Meta::default().group_key(), "0@17241709254077376921");
    assert_eq!(key(&[("foo", "bar"), ("foo1", "bar2")], 0), "0@2124638872457683483");
    let odd = [("foo/some..thing/some.thing/../", "a_b_c/bar-something-a\\metric/a\\x")];
    assert_eq!(key(&odd, 0), "0@16590761456214576373");
    assert_eq!(key(&[], 1000), "1000@17241709254077376921");
}

#[test]
fn versions_of_tomorrow_are_no_damage() {
    for (text, why) in [
        ("{}", "unexpected meta file version 0"),
        (r#"{"version":20}"#, "unexpected meta file version 20"),
        (r#"{"version":1,"thanos":{"version":2}}"#, "unexpected meta file Thanos section version 2"),
    ] {
        assert_eq!(Meta::parse(text.as_bytes()).unwrap().check_version().unwrap_err().why, why);
        assert_eq!(Meta::decode(text.as_bytes()).unwrap_err().why, why);
    }
}

#[test]
fn damage_is_named_with_its_offset() {
    for (text, at) in [
        ("", 0),
        ("{ not a json", 2),
        ("{\n\t\"minTime\": \"x\"\n}", 16),
        (r#"{"ulid":"short"}"#, 15),
        (r#"{"version":1} x"#, 14),
        (r#"{"stats":[]}"#, 8),
        (r#"{"thanos":{"upload_time":"yesterday"}}"#, 36),
    ] {
        let error = Meta::parse(text.as_bytes()).unwrap_err();
        assert_eq!((error.part, error.at), ("meta.json", at), "{text}: {error}");
    }
}

#[test]
fn deep_nesting_is_refused_before_it_is_indented() {
    for field in ["x", "thanos\":{\"extensions", "thanos\":{\"rewrites"] {
        let deep = format!("{{\"{field}\":{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep = if field == "x" { deep + "}" } else { deep + "}}" };
        assert!(Meta::parse(deep.as_bytes()).is_err(), "{field}");
    }
}

#[test]
fn no_cut_and_no_flipped_byte_panics() {
    for end in 0..FULL.len() {
        let _ = FULL.get(..end).map(|cut| assert!(Meta::parse(cut.trim_end().as_bytes()).is_err() || end + 1 >= FULL.len()));
    }
    let mut bytes = FULL.as_bytes().to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80] {
            bytes[at] ^= flip;
            if let Ok(meta) = Meta::parse(&bytes) {
                let once = meta.encode();
                assert_eq!(Meta::parse(&once).unwrap().encode(), once);
            }
            bytes[at] ^= flip;
        }
    }
}
