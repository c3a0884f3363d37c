//! The node's program as far as this crate goes: the hidden subcommands that a node runs. Tests name it as theirs.

fn main() {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == "init" => pods::init::main(args),
        Some(verb) if verb == "echo" => std::process::exit(pods::echo::main(args)),
        _ => {
            eprintln!("usage: portolan-pods init … | echo …");
            std::process::exit(2);
        }
    }
}
