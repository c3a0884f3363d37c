use super::*;
use crate::protobuf::encode::{bytes_field, envelope};

fn message() -> Vec<u8> {
    let mut list = Vec::new();
    bytes_field(METADATA, &[0x12, 2, b'4', b'2'], &mut list);
    for item in ["one", "", "a longer one, whose length takes more than one byte"] {
        bytes_field(ITEM, item.repeat(20).as_bytes(), &mut list);
    }
    envelope(&list)
}

/// The fields of a list, and whether that was all.
type Read = (Vec<(u32, Vec<u8>)>, bool);

fn read(pieces: &[&[u8]]) -> Result<Read, Broken> {
    let mut reader = Reader::default();
    let mut all = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some((number, bytes)) = reader.next()? {
            all.push((number, bytes.to_vec()));
        }
    }
    Ok((all, reader.is_complete()))
}

#[test]
fn a_list_is_the_same_however_it_is_cut_to_pieces() {
    let message = message();
    let (whole, complete) = read(&[&message]).unwrap();
    assert!(complete);
    assert_eq!(whole.len(), 4);
    assert_eq!(version(&whole[0].1).unwrap().as_deref(), Some("42"));
    for size in [1, 2, 3, 7, 100] {
        let pieces: Vec<&[u8]> = message.chunks(size).collect();
        assert_eq!(read(&pieces).unwrap(), (whole.clone(), true), "pieces of {size}");
    }
}

#[test]
fn a_list_that_breaks_off_is_not_complete() {
    let message = message();
    // The last field of the envelope's three that follow is of no interest.
    let list_ends = message.len() - 4;
    for len in 0..list_ends {
        assert!(!read(&[&message[..len]]).unwrap().1, "{len} bytes");
    }
    assert!(read(&[&message[..list_ends]]).unwrap().1);
}

#[test]
fn an_empty_list_is_complete() {
    assert_eq!(read(&[&envelope(b"")]).unwrap(), (Vec::new(), true));
}

#[test]
fn what_is_no_list_is_refused() {
    assert!(matches!(read(&[b"{\"kind\":\"ServiceList\"}"]), Err(Broken::NotSpoken)));
    let mut list = Vec::new();
    bytes_field(ITEM, b"longer than the list", &mut list);
    let mut message = envelope(&list);
    let at = message.len() - 4 - list.len() - 1;
    message[at] = 3;
    assert!(matches!(read(&[&message]), Err(Broken::Malformed(Malformed::Short))));
    let mut huge = envelope(b"");
    huge.truncate(huge.len() - 6);
    huge.extend_from_slice(&[0x12, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x12, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(read(&[&huge]), Err(Broken::TooLarge(_))));
}
