// What the page does: the example of docs/queries.md, and both of its protocols over every kind of call. Its verdict goes back to whoever
// served it.
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { QueryService } from "./gen/millrace/query/v1/query_pb.js";
import { follow } from "./follow.js";

const asked = Object.fromEntries(new URLSearchParams(location.search));
const { baseUrl, apiKey, device } = asked as { baseUrl: string; apiKey: string; device: string };
const from = BigInt(asked.from!);

async function everyCall(transport: Transport) {
  const client = createClient(QueryService, transport);
  const latest = await client.latest({ device });
  const range = await client.range({ device, metric: "value", fromUs: from, toUs: from + 600_000_000n, points: 10 });
  let csv = "";
  const decoder = new TextDecoder();
  for await (const part of client.export({ devices: [device], fromUs: from, toUs: from + 600_000_000n })) {
    csv += decoder.decode(part.data, { stream: true });
  }
  let refused = "";
  try {
    await client.latest({ device: "no-such-device" });
  } catch (error) {
    refused = Code[ConnectError.from(error).code];
  }
  let refusedStream = "";
  try {
    for await (const _ of client.tail({ devices: ["no-such-device"] })) break;
  } catch (error) {
    refusedStream = Code[ConnectError.from(error).code];
  }
  return {
    latest: latest.entries.map((entry) => `${entry.metric} ${entry.value?.kind.value}`),
    counts: range.buckets.map((bucket) => Number(bucket.count)),
    csvLines: csv.trimEnd().split("\r\n").length,
    refused,
    refusedStream,
  };
}

async function run() {
  const options = {
    baseUrl,
    interceptors: [(next: any) => (call: any) => {
      call.header.set("Authorization", `Bearer ${apiKey}`);
      return next(call);
    }],
  };
  const verdict: Record<string, unknown> = {
    connectJson: await everyCall(createConnectTransport(options)),
    connectBinary: await everyCall(createConnectTransport({ ...options, useBinaryFormat: true })),
    grpcWeb: await everyCall(createGrpcWebTransport(options)),
  };
  const lines: string[] = [];
  await follow(baseUrl, apiKey, device, (line) => {
    lines.push(line);
    return !line.startsWith("live ");
  });
  verdict.followed = lines;
  return verdict;
}

run().then((verdict) => verdict, (error) => ({ error: String(error) }))
  .then((verdict) => fetch("/verdict", { method: "POST", body: JSON.stringify(verdict) }));
