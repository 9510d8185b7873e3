//! A page by HTTP/1.1, as kubelet asks for it.

use super::{
    connection::{connect, reason},
    spec::{Request, Target},
    tls,
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};

/// How many redirects are followed.
const REDIRECTS: usize = 10;
/// How much of a page is read, in bytes, so that the server can end in peace.
const READ: usize = 10 * 1024;
/// Servers, and what reads their logs, know probes by the beginning.
const USER_AGENT: &str = concat!("kube-probe/svc-lb-", env!("CARGO_PKG_VERSION"));

/// Gets a page: success is a status from 200 to 399. A redirect is followed as long as it stays with the
/// host; one that leads elsewhere is a success.
pub async fn get(request: &Request) -> Result<(), String> {
    let mut request = request.clone();
    for _ in 0..=REDIRECTS {
        let answer = exchange(&request).await?;
        if !(200..400).contains(&answer.status.as_u16()) {
            return Err(format!("HTTP {}", answer.status.as_u16()));
        }
        let Some(location) = answer.location else { return Ok(()) };
        match redirected(&request, &location)? {
            Some(next) => request = next,
            None => return Ok(()),
        }
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

/// What matters of an answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// Where a redirect leads.
    location: Option<String>,
}

async fn exchange(request: &Request) -> Result<Answer, String> {
    let stream = connect(&request.target).await?;
    if request.https {
        converse(tls::handshake(&request.target.host, stream).await?, request).await
    } else {
        converse(stream, request).await
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    request: &Request,
) -> Result<Answer, String> {
    let message = message(request)?;
    let talk = async {
        // Not every server knows that a header's name may be in lower case.
        let client = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = client?;
        let mut connection = pin!(connection);
        let mut asked = pin!(async {
            let answer = sender.send_request(message).await?;
            let (head, body) = answer.into_parts();
            read(body).await;
            Ok(head)
        });
        tokio::select! {
            biased;
            answered = &mut asked => answered,
            ended = &mut connection => match ended {
                // What came before the end is there to be read.
                Ok(()) => asked.await,
                Err(error) => Err(error),
            },
        }
    };
    let head = talk.await.map_err(|error: hyper::Error| reason(&error))?;
    let is_redirect = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = head.headers.get(header::LOCATION).filter(|_| is_redirect);
    let location = location.map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned());
    Ok(Answer { status: head.status, location: location.filter(|location| !location.is_empty()) })
}

/// Reads a page, for the server's sake alone: the status has said everything.
async fn read(mut body: Incoming) {
    let mut left = READ;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

fn message(request: &Request) -> Result<hyper::Request<Empty<Bytes>>, String> {
    let mut message = hyper::Request::new(Empty::new());
    *message.uri_mut() = origin_form(&request.path).parse().map_err(|_| "the path is no path of a URL")?;
    *message.headers_mut() = headers(request)?;
    Ok(message)
}

/// The headers of the manifest, and those that it leaves out.
fn headers(request: &Request) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let parsed = (HeaderName::try_from(name), HeaderValue::try_from(value));
        let (Ok(key), Ok(value)) = parsed else { return Err(format!("{name:?} is no header with a value")) };
        headers.append(key, value);
    }
    let mut default = |name: HeaderName, value: &str| -> Result<(), String> {
        if !headers.contains_key(&name) {
            let value =
                HeaderValue::try_from(value).map_err(|_| format!("{value:?} is no value of a header"))?;
            headers.insert(name, value);
        }
        Ok(())
    };
    default(header::HOST, &request.target.to_string())?;
    default(header::USER_AGENT, USER_AGENT)?;
    default(header::ACCEPT, "*/*")?;
    if headers.get(header::ACCEPT).is_some_and(HeaderValue::is_empty) {
        headers.remove(header::ACCEPT);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

/// A path and query as they go on the wire: from a slash on, without a fragment, and with what is no
/// character of a URL written as `%XX`.
fn origin_form(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let escape = |byte: u8| match byte {
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => format!("%{byte:02X}"),
        0x21..=0x7e => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    slash.to_owned() + &path.bytes().map(escape).collect::<String>()
}

/// The request that a redirect asks for; `None` if it is for another host.
fn redirected(request: &Request, location: &str) -> Result<Option<Request>, String> {
    let scheme = if request.https { "https" } else { "http" };
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.contains("://") {
        location.to_owned()
    } else {
        return Ok(Some(Request { path: relative(&request.path, location), ..request.clone() }));
    };
    let strange = || format!("a redirect to {location:?}");
    let uri: Uri = origin(&absolute).parse().map_err(|_| strange())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(strange()) };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let https = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(strange()),
    };
    if host != request.target.host {
        return Ok(None);
    }
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    // The name that the manifest gives is that of the server which was asked first.
    let headers = request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    Ok(Some(Request {
        https,
        target: Target { host: host.to_owned(), port },
        path: absolute[origin(&absolute).len()..].to_owned(),
        headers: headers.cloned().collect(),
    }))
}

/// The part of a URL before its path.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |path| authority + path);
    &url[..end]
}

/// A path that is relative to another one (RFC 3986, section 5.2, without dots).
fn relative(base: &str, path: &str) -> String {
    let base = base.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with('/') {
        path.to_owned()
    } else if path.starts_with('?') {
        format!("{base}{path}")
    } else {
        let directory = base.rfind('/').map_or("/", |slash| &base[..=slash]);
        format!("{directory}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            https: false,
            target: Target { host: "10.0.0.1".to_owned(), port: 8080 },
            path: path.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn paths_go_on_the_wire_as_those_of_urls() {
        for (path, expected) in [
            ("", "/"),
            ("ready", "/ready"),
            ("/a?b=c&d=%20#e", "/a?b=c&d=%20"),
            ("/a b/ü{}", "/a%20b/%C3%BC%7B%7D"),
        ] {
            assert_eq!(origin_form(path), expected);
            assert_eq!(message(&request(path, &[])).expect("a request").uri(), expected);
        }
    }

    #[test]
    fn headers_that_are_left_out_are_those_of_kubelet() {
        let shown = |given: &[(&str, &str)]| {
            let headers = headers(&request("/", given)).expect("headers");
            let show = |name: &str| headers.get(name).map(|value| value.to_str().expect("text").to_owned());
            ["host", "user-agent", "accept", "x"].map(show)
        };
        let [host, agent, accept, _] = shown(&[]);
        assert_eq!((host.as_deref(), accept.as_deref()), (Some("10.0.0.1:8080"), Some("*/*")));
        assert!(agent.is_some_and(|agent| agent.starts_with("kube-probe/")));
        let given = [("Host", "a.test"), ("User-Agent", "me"), ("accept", ""), ("X", "y")];
        assert_eq!(
            shown(&given),
            [Some("a.test"), Some("me"), None, Some("y")].map(|it| it.map(str::to_owned))
        );
        assert!(headers(&request("/", &[("a b", "c")])).is_err());
    }

    #[test]
    fn redirects_are_followed_while_they_stay_with_the_host() {
        let from = request("/a/b?c", &[("Host", "name.test"), ("X", "y")]);
        for (location, expected) in [
            ("/d?e", Some(("http 10.0.0.1:8080", "/d?e"))),
            ("d", Some(("http 10.0.0.1:8080", "/a/d"))),
            ("?d", Some(("http 10.0.0.1:8080", "/a/b?d"))),
            ("https://10.0.0.1:8443/d", Some(("https 10.0.0.1:8443", "/d"))),
            ("https://10.0.0.1", Some(("https 10.0.0.1:443", ""))),
            ("//10.0.0.1?d", Some(("http 10.0.0.1:80", "?d"))),
            ("http://10.0.0.2:8080/d", None),
            ("https://name.test/", None),
        ] {
            let next = redirected(&from, location).expect("a redirect");
            let shown = next.as_ref().map(|next| {
                let scheme = if next.https { "https" } else { "http" };
                (format!("{scheme} {}", next.target), next.path.as_str())
            });
            assert_eq!(shown, expected.map(|(server, path)| (server.to_owned(), path)), "{location}");
        }
        assert!(redirected(&from, "ftp://10.0.0.1/").is_err());
        let elsewhere = redirected(&from, "http://10.0.0.1:81/").expect("a redirect").expect("the same host");
        assert_eq!(elsewhere.headers, [("X".to_owned(), "y".to_owned())]);
    }
}
