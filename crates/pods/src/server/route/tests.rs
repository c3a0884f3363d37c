use super::*;

fn route(text: &str) -> Result<Route, BadRoute> {
    parse(&text.parse().unwrap())
}

#[test]
fn output() {
    let Ok(Route::Logs(logs)) = route("/containerLogs/ns/pod/c?follow=true&tailLines=5&previous=false&limitBytes=9")
    else {
        panic!("no logs");
    };
    assert_eq!((logs.place.namespace.as_str(), logs.place.container.as_str()), ("ns", "c"));
    assert!(logs.options.follow && !logs.previous && !logs.options.timestamps);
    assert_eq!((logs.options.tail, logs.options.limit, logs.options.since), (Some(5), Some(9), None));
    let bad = route("/containerLogs/ns/pod/c?tailLines=x");
    assert_eq!(bad, Err(BadRoute::Parameter("tailLines", "x".into())));
    assert!(route("/containerLogs/ns/pod/c?sinceTime=yesterday").is_err());
    assert!(route("/containerLogs/ns/pod/c?sinceSeconds=99999999999999").is_ok());
}

#[test]
fn programs() {
    let Ok(Route::Exec(exec)) =
        route("/exec/ns/pod/uid/c?command=sh&command=-c&command=echo+%24A%26b%2B&input=1&output=1&tty=1&error=1")
    else {
        panic!("no exec");
    };
    assert_eq!(exec.command, ["sh", "-c", "echo $A&b+"]);
    assert_eq!(exec.place.uid.as_deref(), Some("uid"));
    assert_eq!((exec.streams, exec.terminal), (Streams { stdin: true, stdout: true, stderr: false }, true));
}

#[test]
fn nowhere() {
    for path in ["/", "/exec", "/exec/a/b", "/containerLogs/a/b", "/pods", "//"] {
        assert_eq!(route(path), Err(BadRoute::Unknown), "{path}");
    }
    assert_eq!(route("/attach/a/b/c"), Ok(Route::Later("attach")));
    assert_eq!(decode("%zz%4", true), "%zz%4");
}
