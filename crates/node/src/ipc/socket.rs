//! Where a node's socket is, and how it is opened.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use headframe_work::Network;
use tokio::net::UnixStream;

use crate::NodeError;
use crate::rpc::cookie_paths;

/// What `-ipcbind=unix` calls it, in the node's data directory of its network.
const NAME: &str = "node.sock";

/// Where a node of this network has its socket when it is told no place: the data directory of the user, then
/// that of a system service.
pub fn socket_paths(network: Network, home: Option<&Path>) -> Vec<PathBuf> {
    let cookies = cookie_paths(network, home);
    cookies
        .iter()
        .map(|cookie| cookie.with_file_name(NAME))
        .collect()
}

/// Opens the first of the sockets that is there.
pub(super) async fn open(sockets: &[PathBuf]) -> Result<(UnixStream, PathBuf), NodeError> {
    for path in sockets {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok((stream, path.clone())),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unopened(path, &error)),
        }
    }
    Err(NodeError::NoSocket {
        looked: sockets.to_vec(),
    })
}

/// Nothing is there, or a file that a node left behind which was killed.
fn is_absent(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
    )
}

fn unopened(path: &Path, error: &Error) -> NodeError {
    match error.kind() {
        ErrorKind::PermissionDenied => NodeError::SocketForbidden {
            path: path.to_owned(),
            reason: error.to_string(),
        },
        _ => NodeError::Unreachable {
            address: path.display().to_string(),
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_usual_places_are_those_of_the_cookie() {
        let paths = socket_paths(Network::Regtest, Some(Path::new("/home/ann")));
        assert!(paths[0].starts_with("/home/ann"));
        assert!(paths[0].ends_with("regtest/node.sock"));
        assert_eq!(
            socket_paths(Network::Mainnet, None),
            [Path::new("/var/lib/bitcoind/node.sock")]
        );
    }

    #[tokio::test]
    async fn the_first_socket_that_answers_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent/node.sock");
        let left = folder.path().join("left.sock");
        drop(UnixListener::bind(&left).unwrap());
        let live = folder.path().join("live.sock");
        let _listener = UnixListener::bind(&live).unwrap();
        let sockets = [absent.clone(), left.clone(), live.clone()];
        assert_eq!(open(&sockets).await.unwrap().1, live);
        let looked = vec![absent, left];
        assert_eq!(
            open(&looked).await.unwrap_err(),
            NodeError::NoSocket {
                looked: looked.clone()
            }
        );
    }

    #[tokio::test]
    async fn a_socket_that_may_not_be_opened_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
        let opened = open(std::slice::from_ref(&path)).await;
        // Nothing is forbidden to root.
        if let Err(error) = opened {
            assert!(
                matches!(error, NodeError::SocketForbidden { .. }),
                "{error}"
            );
            assert!(error.advice().contains("user"));
        }
        let denied = Error::from(ErrorKind::PermissionDenied);
        assert!(matches!(
            unopened(&path, &denied),
            NodeError::SocketForbidden { .. }
        ));
    }
}
