use std::time::Instant;
use svc_lb::{
    cluster::{self, Allocations, Ranges},
    compile::{self, compile},
    node::Facts,
    source::FileSource,
};
fn rss() -> String {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
        .map(|l| l.replace('\t', " "))
        .collect::<Vec<_>>()
        .join(" ")
}
fn main() {
    let p = std::env::args().nth(1).unwrap();
    let mut src = FileSource::new(vec![p.into()]);
    let t = Instant::now();
    let r = src.read();
    println!("read {:?} {}", t.elapsed(), rss());
    for _ in 0..2 {
        let t = Instant::now();
        let r = src.read();
        println!("reread {:?} {}", t.elapsed(), rss());
        let t = Instant::now();
        let j = cluster::join(&r.objects, &Ranges::default(), &Allocations::default());
        println!("join {:?} {}", t.elapsed(), rss());
        let o = compile::Options::default();
        let t = Instant::now();
        let reach = compile::reach(&j.cluster, &o);
        println!("reach {:?} {}", t.elapsed(), rss());
        let t = Instant::now();
        let c = compile(&j.cluster, &Facts::default(), &o);
        println!("compile {:?} {} {}", t.elapsed(), c.tables.services.len(), rss());
        drop(reach);
    }
    drop(r);
}
