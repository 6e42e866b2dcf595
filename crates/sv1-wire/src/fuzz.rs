//! Bodies of the fuzz targets, beside the code that they test.

use crate::{Request, ServerLine};

/// Whatever a client sends is refused, or survives being written and read again.
///
/// # Panics
///
/// If it does not survive.
pub fn fuzz_request(line: &[u8]) {
    match Request::parse(line) {
        Ok(request) => {
            let mut encoded = Vec::new();
            request.encode(&mut encoded);
            assert_eq!(Request::parse(&encoded), Ok(request));
            assert_one_line(&encoded);
        }
        Err(error) => {
            let mut encoded = Vec::new();
            error.reply().encode(&mut encoded);
            assert_eq!(
                ServerLine::parse(&encoded),
                Ok(ServerLine::Reply(error.reply()))
            );
            assert_one_line(&encoded);
        }
    }
}

/// Whatever a server sends is refused, or survives being written and read again.
///
/// # Panics
///
/// If it does not survive.
pub fn fuzz_notification(line: &[u8]) {
    let Ok(parsed) = ServerLine::parse(line) else {
        return;
    };
    let mut encoded = Vec::new();
    parsed.encode(&mut encoded);
    assert_eq!(ServerLine::parse(&encoded), Ok(parsed));
    assert_one_line(&encoded);
}

fn assert_one_line(encoded: &[u8]) {
    let newlines = encoded.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((newlines, encoded.last()), (1, Some(&b'\n')));
}
