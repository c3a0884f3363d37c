use super::*;

#[test]
fn messages() {
    assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
    assert_eq!(question("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
    assert_eq!(answer(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
    assert_eq!(answer(&[0, 0, 0, 0, 0]), Some(0));
    assert_eq!(answer(&[0, 0, 0, 0, 6, 0x12, 2, 1, 2, 8, 2]), Some(2));
    for broken in
        [&[][..], &[0, 0, 0, 0, 3, 8, 1], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 1, 8], &[0, 0, 0, 0, 2, 0x12, 9]]
    {
        assert_eq!(answer(broken), None, "{broken:?}");
    }
}
