"""A device on aiocoap; runs under the interpreter of .dev/tools/venv, not under that of the tests.

    aiocoap_device.py URI IDENTITY KEY < JSON list of payloads

URI has a {} for the number of the message. Prints a line of JSON for each message that was answered.
"""
import asyncio
import json
import sys

import aiocoap

ANSWER_S = 120


async def main(uri, identity, key, payloads):
    context = await aiocoap.Context.create_client_context()
    if uri.startswith("coaps:"):
        context.client_credentials.load_from_dict({
            uri.split("/v1/")[0] + "/*": {"dtls": {"psk": {"ascii": key}, "client-identity": {"ascii": identity}}}})
    for number, payload in enumerate(payloads):
        message = aiocoap.Message(code=aiocoap.POST, uri=uri.format(number), payload=payload.encode(), content_format=50)
        try:
            answer = await asyncio.wait_for(context.request(message).response, ANSWER_S)
        except (asyncio.TimeoutError, aiocoap.error.Error) as error:
            print(f"message {number}: {error!r}", file=sys.stderr, flush=True)
            continue
        print(json.dumps({"number": number, "code": answer.code.dotted, "payload": answer.payload.decode()}), flush=True)
    await context.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], json.load(sys.stdin)))
