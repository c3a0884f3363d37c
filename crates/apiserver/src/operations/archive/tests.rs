use proptest::prelude::*;

use super::*;

fn written(records: &[(String, Vec<u8>)], revision: u64) -> Bytes {
    let mut writer = Writer::new();
    for (key, value) in records {
        writer.record(key, value);
    }
    writer.finish(revision);
    writer.bytes.freeze()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_nothing_that_was_changed(
        records in proptest::collection::vec((".{0,9}", proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        revision: u64,
        at: prop::sample::Index,
    ) {
        let bytes = written(&records, revision);
        let archive = Archive::read(bytes.clone()).unwrap();
        let records: Vec<_> = records.into_iter().map(|(key, value)| (key, Bytes::from(value))).collect();
        prop_assert_eq!(archive, Archive { revision, records });
        let at = at.index(bytes.len());
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        prop_assert!(Archive::read(changed.into()).is_err());
        prop_assert!(Archive::read(bytes.slice(..at)).is_err());
    }
}

#[test]
fn lengths_that_promise_too_much_are_refused() {
    // With a digest that is right: as somebody would write it who knows how.
    let mut writer = Writer::new();
    writer.put(&(END - 1).to_le_bytes());
    writer.finish(1);
    assert_eq!(Archive::read(writer.bytes.freeze()), Err(ArchiveError::Damaged));
    assert_eq!(Archive::read(Bytes::from_static(b"{}")), Err(ArchiveError::Magic));
}
