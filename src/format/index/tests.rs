use super::*;

/// Everything that an index says, read by one road, written again.
fn rewrite(bytes: &[u8]) -> Vec<u8> {
    let index = Index::open(bytes).unwrap();
    let mut writer = Writer::new(vec![]);
    for (reference, symbol) in index.symbols() {
        assert_eq!(writer.symbol(symbol).unwrap(), reference);
    }
    let mut writer = writer.series().unwrap();
    let (mut walk, mut labels, mut chunks) = (index.each_series(), vec![], vec![]);
    while let Some(id) = walk.next(&mut labels, &mut chunks).unwrap() {
        assert_eq!(writer.push(&labels, &chunks).unwrap(), id);
    }
    let (out, toc) = writer.finish().unwrap();
    assert_eq!(toc, *index.toc());
    out
}

/// Asks for everything in every way, and compares the ways.
fn audit(bytes: &[u8]) -> usize {
    let index = Index::open(bytes).unwrap();
    let mut pairs = std::collections::BTreeMap::<(Vec<u8>, Vec<u8>), Vec<u32>>::new();
    let (mut walk, mut labels, mut chunks) = (index.each_series(), vec![], vec![]);
    let (mut labels_again, mut chunks_again, mut all) = (vec![], vec![], vec![]);
    while let Some(id) = walk.next(&mut labels, &mut chunks).unwrap() {
        index.series(id, &mut labels_again, &mut chunks_again).unwrap();
        assert_eq!((&labels, &chunks), (&labels_again, &chunks_again));
        for &(name, value) in &labels {
            let pair = (index.symbol(name).unwrap().to_vec(), index.symbol(value).unwrap().to_vec());
            pairs.entry(pair).or_default().push(id);
        }
        all.push(id);
    }
    assert_eq!(index.all_postings().unwrap().iter().collect::<Vec<_>>(), all);
    let mut names: Vec<_> = pairs.keys().map(|(name, _)| &name[..]).collect();
    names.dedup();
    assert_eq!(index.label_names().collect::<Vec<_>>(), names);
    for name in names {
        let values: Vec<_> = pairs.keys().filter(|(n, _)| n == name).map(|(_, v)| &v[..]).collect();
        assert_eq!(index.label_values(name).map(|e| e.value).collect::<Vec<_>>(), values);
    }
    for ((name, value), ids) in &pairs {
        assert_eq!(index.postings(name, value).unwrap().unwrap().iter().collect::<Vec<_>>(), *ids);
    }
    assert_eq!(index.postings_table().count(), pairs.len() + 1);
    for (reference, symbol) in index.symbols() {
        assert_eq!((index.symbol(reference).unwrap(), index.find_symbol(symbol)), (symbol, Some(reference)));
    }
    all.len()
}

const COMPACTED: &[u8] = include_bytes!("../../../testdata/index/compacted");
const ENCODINGS: &[u8] = include_bytes!("../../../testdata/index/encodings");
const FORMAT_1: &[u8] = include_bytes!("../../../testdata/index-v1/index");

#[test]
fn what_prometheus_and_thanos_wrote_is_written_the_same() {
    for bytes in [COMPACTED, ENCODINGS] {
        assert!(rewrite(bytes) == bytes);
    }
}

#[test]
fn every_road_to_the_same_answer() {
    assert_eq!([COMPACTED, ENCODINGS, FORMAT_1].map(audit), [605, 120, 102]);
}
