use super::*;

#[test]
fn a_frame_is_there_when_all_of_it_is() {
    let mut bytes = Vec::new();
    let wanted: Vec<Vec<u8>> = vec![b"one".to_vec(), Vec::new(), vec![7; 300]];
    for frame in &wanted {
        bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        bytes.extend_from_slice(frame);
    }
    for size in [1, 3, 5, 1000] {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            frames.push(piece);
            while let Some(frame) = frames.next().unwrap() {
                found.push(frame.to_vec());
            }
        }
        assert_eq!(found, wanted, "pieces of {size}");
    }
    let mut frames = Frames::default();
    frames.push(&[0xff; 4]);
    assert!(matches!(frames.next(), Err(Broken::TooLarge(_))));
}
