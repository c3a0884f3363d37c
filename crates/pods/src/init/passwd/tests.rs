use super::*;

fn accounts() -> Accounts {
    Accounts::of(
        "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:w:/var/www:/bin/false\n7:x:70:71::/seven:\n",
        "root:x:0:\nstaff:x:50:web,other\nextra:x:51:web\nodd:x\n",
    )
}

fn user(image: &str) -> User {
    User { image: image.into(), image_groups: true, ..User::default() }
}

#[test]
fn who_an_image_names() {
    let cases = [
        ("", (0, 0, vec![], Some("/root"))),
        ("web", (33, 34, vec![50, 51], Some("/var/www"))),
        ("web:staff", (33, 50, vec![50, 51], Some("/var/www"))),
        ("33", (33, 34, vec![50, 51], Some("/var/www"))),
        ("1234", (1234, 0, vec![], None)),
        ("1234:5678", (1234, 5678, vec![], None)),
        ("7", (70, 71, vec![], Some("/seven"))),
    ];
    for (image, (uid, gid, groups, home)) in cases {
        let want = Identity { uid, gid, groups, home: home.map(str::to_owned) };
        assert_eq!(accounts().identify(&user(image)).unwrap(), want, "{image:?}");
    }
}

#[test]
fn the_pod_goes_before_the_image() {
    let asked = User { uid: Some(33), gid: Some(9), groups: vec![50, 2000], ..user("root:root") };
    let want = Identity { uid: 33, gid: 9, groups: vec![50, 51, 2000], home: Some("/var/www".into()) };
    assert_eq!(accounts().identify(&asked).unwrap(), want);
    let strict = User { image_groups: false, ..asked };
    assert_eq!(accounts().identify(&strict).unwrap().groups, [50, 2000]);
    let unknown = User { uid: Some(4711), ..user("web:staff") };
    assert_eq!(accounts().identify(&unknown).unwrap().gid, 0);
}

#[test]
fn names_that_are_not_there() {
    for image in ["nobody", "web:nogroup", "-1", "4294967296"] {
        assert!(accounts().identify(&user(image)).is_err(), "{image}");
    }
}
