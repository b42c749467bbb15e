"""QueryService over HTTP/1.1, as a browser or curl asks it: Connect's JSON and gRPC-Web."""
import json
import struct
import urllib.error
import urllib.request

import protos

SERVICE = "/millrace.query.v1.QueryService/"


def post(lab, method, body, key=None, **headers):
    """(status, headers, body). A body that is no bytes becomes JSON."""
    url = f"http://{lab.stack.settings.address('query_http')}{SERVICE}{method}"
    fields = {"Content-Type": "application/json", "Authorization": f"Bearer {key or lab.api_key}"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    request = urllib.request.Request(url, body if isinstance(body, bytes) else json.dumps(body).encode(), fields)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def framed(message):
    """One message as gRPC-Web sends it."""
    data = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


def unframed(body, answer):
    """(message of class `answer`, bytes of the trailers)"""
    size = struct.unpack(">I", body[1:5])[0]
    assert body[0] == 0 and body[5 + size] == 0x80, body[:100]
    return answer.FromString(body[5:5 + size]), body[10 + size:]


def grpc_web(lab, method, **fields):
    """A unary call over gRPC-Web, by the method's name; its answer."""
    descriptor = protos.query().DESCRIPTOR.services_by_name["QueryService"].methods_by_name[method]
    request = protos.message_class(descriptor.input_type)(**fields)
    status, _, body = post(lab, method, framed(request), Content_Type="application/grpc-web+proto")
    assert status == 200, (status, body)
    answer, trailers = unframed(body, protos.message_class(descriptor.output_type))
    assert b"grpc-status:0\r\n" in trailers, trailers
    return answer


def connect(lab, method, **fields):
    """A unary call with Connect's JSON; fields and answer in protobuf's JSON names."""
    status, _, body = post(lab, method, fields)
    assert status == 200, (status, body)
    return json.loads(body)
