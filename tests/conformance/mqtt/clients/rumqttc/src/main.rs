//! rumqttc under the words of ../README.md.
use std::process::exit;
use std::time::Duration;

use rumqttc::{Outgoing, Transport};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

const WAIT: Duration = Duration::from_secs(60);
const KEEP_ALIVE: Duration = Duration::from_secs(30);

fn say(line: String) {
    println!("{line}");
}

fn fail(why: impl std::fmt::Display) -> ! {
    say(format!("error {why}"));
    exit(1)
}

struct Place {
    scheme: String,
    /// For WebSocket rumqttc wants the whole URL as its host.
    host: String,
    port: u16,
}

fn place(url: &str) -> Place {
    let (scheme, rest) = url.split_once("://").unwrap_or_else(|| fail("no URL"));
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = authority
        .rsplit_once(':')
        .unwrap_or_else(|| fail("no port"));
    let web_socket = scheme == "ws" || scheme == "wss";
    Place {
        scheme: scheme.to_string(),
        host: if web_socket {
            url.to_string()
        } else {
            host.to_string()
        },
        port: port.parse().unwrap_or_else(|_| fail("no port")),
    }
}

fn transport(scheme: &str) -> Transport {
    let ca = || {
        let file = std::env::var("MQTT_CA").unwrap_or_else(|_| fail("MQTT_CA is not set"));
        std::fs::read(file).unwrap_or_else(|error| fail(error))
    };
    match scheme {
        "mqtt" => Transport::Tcp,
        "mqtts" => Transport::tls(ca(), None, None),
        "ws" => Transport::ws(),
        "wss" => Transport::wss(ca(), None, None),
        other => fail(format!("scheme {other}")),
    }
}

/// What the connection tells the commands: each command waits for its own.
#[derive(Debug, PartialEq)]
enum Done {
    Connected,
    Subscribed,
    Published,
    Ended,
}

async fn expect(told: &mut mpsc::UnboundedReceiver<Done>, what: Done) {
    match tokio::time::timeout(WAIT, told.recv()).await {
        Ok(Some(done)) if done == what => (),
        other => fail(format!("{other:?} instead of {what:?}")),
    }
}

/// rumqttc has a module for each version, with types of their own that look alike.
macro_rules! version {
    ($name:ident, $options:ty, $client:ty, $events:ty, $event:path, $packet:path, $qos:path) => {
        mod $name {
            use super::*;
            use $event as Event;
            use $packet as Packet;
            use $qos as QoS;

            fn qos(text: &str) -> QoS {
                match text {
                    "0" => QoS::AtMostOnce,
                    "1" => QoS::AtLeastOnce,
                    "2" => QoS::ExactlyOnce,
                    other => fail(format!("QoS {other}")),
                }
            }

            fn seen(event: Event) -> Option<Done> {
                match event {
                    Event::Incoming(Packet::ConnAck(connack)) => {
                        say(format!("connected {}", u8::from(connack.session_present)));
                        Some(Done::Connected)
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        let topic: &[u8] = publish.topic.as_ref();
                        let (topic, payload) = (
                            String::from_utf8_lossy(topic),
                            String::from_utf8_lossy(&publish.payload),
                        );
                        say(format!("message {} {topic} {payload}", publish.qos as u8));
                        None
                    }
                    Event::Incoming(Packet::SubAck(_)) => Some(Done::Subscribed),
                    Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => {
                        Some(Done::Published)
                    }
                    Event::Outgoing(Outgoing::Publish(0)) => Some(Done::Published),
                    Event::Outgoing(Outgoing::Disconnect) => Some(Done::Ended),
                    _ => None,
                }
            }

            async fn poll(mut events: $events, tell: mpsc::UnboundedSender<Done>) {
                let mut ended = false;
                while !ended {
                    match events.poll().await {
                        Ok(event) => {
                            if let Some(done) = seen(event) {
                                ended = done == Done::Ended;
                                let _ = tell.send(done);
                            }
                        }
                        Err(error) => fail(error),
                    }
                }
            }

            pub async fn serve(options: $options) {
                let (client, events) = <$client>::new(options, 100);
                let (tell, mut told) = mpsc::unbounded_channel();
                let polling = tokio::spawn(poll(events, tell));
                expect(&mut told, Done::Connected).await;
                let mut lines = BufReader::new(tokio::io::stdin()).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let words: Vec<&str> = line.splitn(4, ' ').collect();
                    match words[..] {
                        ["subscribe", level, topic] => {
                            client
                                .subscribe(topic, qos(level))
                                .await
                                .unwrap_or_else(|error| fail(error));
                            expect(&mut told, Done::Subscribed).await;
                            say("subscribed".to_string());
                        }
                        ["publish", level, topic, payload] => {
                            let payload = payload.to_string();
                            let sent = client.publish(topic, qos(level), false, payload).await;
                            sent.unwrap_or_else(|error| fail(error));
                            expect(&mut told, Done::Published).await;
                            say("published".to_string());
                        }
                        ["end"] => {
                            client
                                .disconnect()
                                .await
                                .unwrap_or_else(|error| fail(error));
                            expect(&mut told, Done::Ended).await;
                            let _ = polling.await;
                            return say("ended".to_string());
                        }
                        _ => fail(format!("what is {line:?}?")),
                    }
                }
            }
        }
    };
}

version!(
    three,
    rumqttc::MqttOptions,
    rumqttc::AsyncClient,
    rumqttc::EventLoop,
    rumqttc::Event,
    rumqttc::Packet,
    rumqttc::QoS
);
version!(
    five,
    rumqttc::v5::MqttOptions,
    rumqttc::v5::AsyncClient,
    rumqttc::v5::EventLoop,
    rumqttc::v5::Event,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::mqttbytes::QoS
);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, version, client_id, clean, credentials @ ..] = &arguments[..] else {
        fail("arguments: URL VERSION CLIENT_ID CLEAN [USER PASSWORD]")
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let place = place(url);
    if version == "5" {
        let mut options = rumqttc::v5::MqttOptions::new(client_id, place.host, place.port);
        options
            .set_transport(transport(&place.scheme))
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(clean == "clean");
        if clean != "clean" {
            options.set_session_expiry_interval(Some(3600));
        }
        if let [user, password] = credentials {
            options.set_credentials(user, password);
        }
        five::serve(options).await;
    } else {
        let mut options = rumqttc::MqttOptions::new(client_id, place.host, place.port);
        options
            .set_transport(transport(&place.scheme))
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(clean == "clean");
        if let [user, password] = credentials {
            options.set_credentials(user, password);
        }
        three::serve(options).await;
    }
}
