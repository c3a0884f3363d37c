use super::*;

#[test]
fn a_message_is_its_fields_in_order() {
    // 1: 150, 2: "testing", 3: -1, and two of kinds that nobody reads.
    let mut message = vec![0x08, 0x96, 0x01, 0x12, 0x07];
    message.extend_from_slice(b"testing");
    message.push(0x18);
    message.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    message.extend_from_slice(&[0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2d, 1, 2, 3, 4]);
    let fields: Vec<Field<'_>> = Fields(&message).collect::<Result<_, _>>().unwrap();
    assert_eq!(fields.iter().map(|f| f.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(fields[0].number(), Ok(150));
    assert_eq!(fields[1].text().as_deref(), Ok("testing"));
    assert_eq!(fields[2].number(), Ok(-1));
    assert_eq!(fields[0].text(), Err(Malformed::Kind));
    assert_eq!(fields[1].flag(), Err(Malformed::Kind));
    for len in 0..message.len() {
        let read: Result<Vec<_>, _> = Fields(&message[..len]).collect();
        assert!(read.is_err() || read.unwrap().len() < fields.len(), "{len} bytes");
    }
}

#[test]
fn a_length_beyond_the_message_ends_it() {
    let huge = [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(Fields(&huge).collect::<Vec<_>>(), [Err(Malformed::Short)]);
    assert_eq!(Fields(&[0x80; 11]).collect::<Vec<_>>(), [Err(Malformed::Kind)]);
    // Groups, which nobody writes any more.
    assert_eq!(Fields(&[0x0b]).collect::<Vec<_>>(), [Err(Malformed::Kind)]);
}

#[test]
fn an_object_is_in_an_envelope() {
    assert_eq!(open(&encode::envelope(b"inside")), Ok(&b"inside"[..]));
    assert_eq!(open(MAGIC), Ok(&b""[..]));
    assert_eq!(open(b"{\"kind\":\"Status\"}"), Err(Malformed::Envelope));
    assert_eq!(open(b"k8"), Err(Malformed::Envelope));
}
