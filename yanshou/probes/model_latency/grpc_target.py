"""Targets behind gRPC: unary calls of one method, whose messages a descriptor set describes, or the server itself by reflection.

It is for requests written as JSON against any interface, without generated code. It must never retry: a retry hides an error.
Needs grpcio, grpcio-reflection and protobuf, which a bare terminal has not. Runs on Python 3.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from yanshou.harness.basics import Json, ProbeError
from yanshou.probes.model_latency.answer import Answer, now
from yanshou.probes.model_latency.http_target import decision
from yanshou.probes.model_latency.streams import REQUEST_ID

REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""Two names of one protocol (doc/server-reflection.md of gRPC); the messages are the same on the wire."""
MOST_FILES = 1000


class GrpcTarget:
    """One channel, kept open. Without `protos` the server is asked for its interface when it is first connected.

    Raises ProbeError LAT-E04 (no such method, also from `ready`), E05 (packages missing).
    """

    def __init__(
        self,
        url: str,
        method: str,
        protos: bytes | None,
        key: str | None,
        ca: bytes | None,
        timeout_s: float,
        path: str | None,
    ) -> None:
        try:
            import grpc
            from google.protobuf import json_format
            from grpc_reflection.v1alpha import reflection_pb2
        except ImportError as error:
            text = f"测 gRPC 接口要用 {error.name}，这台主机没有"
            raise ProbeError("LAT-E05", text, "pip install 'yanshou[grpc]'") from None
        self._grpc, self._json, self._timeout_s = grpc, json_format, timeout_s
        self._reflection, self._method = reflection_pb2, method
        self._request: Any = None
        self._reply: Any = None
        if protos is not None:
            self._request, self._reply = _messages(protos, method)
        self._answer_path = path.split(".") if path else []
        self._metadata = [("authorization", f"Bearer {key}")] if key else []
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or 443}"
        options = [("grpc.enable_retries", 0)]
        if parts.scheme == "grpcs":
            self._channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(ca), options)
        else:
            self._channel = grpc.insecure_channel(place, options)
        self._call = self._channel.unary_unary(method)  # bytes there, bytes back
        self.connections = 0

    def ready(self) -> None:
        """Connect where that has not been done, and learn the interface where nobody described it. Raises OSError, ProbeError."""
        if not self.connections:
            try:
                self._grpc.channel_ready_future(self._channel).result(self._timeout_s)
            except self._grpc.FutureTimeoutError:
                raise OSError("连接超时") from None
            self.connections = 1
        if self._request is None:
            self._request, self._reply = _messages(self._reflected(), self._method)

    def _reflected(self) -> bytes:
        """The server's own description of the method's service, as a descriptor set. Raises ProbeError LAT-E04."""
        from google.protobuf import descriptor_pb2

        question = self._reflection.ServerReflectionRequest(file_containing_symbol=self._method[1:].partition("/")[0])
        files: dict[str, Any] = {}
        try:
            for _ in range(MOST_FILES):
                for described in self._described(question):
                    file = descriptor_pb2.FileDescriptorProto.FromString(described)
                    files.setdefault(file.name, file)
                missing = {name for file in files.values() for name in file.dependency} - files.keys()
                if not missing:
                    break
                question = self._reflection.ServerReflectionRequest(file_by_filename=min(missing))
        except Exception as error:  # protobuf's own errors share no base class
            code = error.code().name if isinstance(error, self._grpc.RpcError) else str(error)
            text = f"服务端没有给出 {self._method} 的接口描述（反射）：{' '.join(code.split())[:200]}"
            raise ProbeError("LAT-E04", text, "核对 method；服务端没有开反射就在 protos 写接口描述文件") from None
        ordered = sorted(files.values(), key=lambda file: len(_below(file.name, files)))
        data: bytes = descriptor_pb2.FileDescriptorSet(file=ordered).SerializeToString()
        return data

    def _described(self, request: Any) -> Sequence[bytes]:
        """Files that answer one question. Raises grpc.RpcError, LookupError."""
        for name in REFLECTIONS:
            ask = self._channel.stream_stream(
                f"/{name}/ServerReflectionInfo",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=self._reflection.ServerReflectionResponse.FromString,
            )
            try:
                (reply,) = ask(iter([request]), timeout=self._timeout_s, metadata=self._metadata)
            except self._grpc.RpcError as error:
                if error.code() is not self._grpc.StatusCode.UNIMPLEMENTED or name == REFLECTIONS[-1]:
                    raise
                continue
            if reply.HasField("error_response"):
                raise LookupError(reply.error_response.error_message)
            found: Sequence[bytes] = reply.file_descriptor_response.file_descriptor_proto
            return found
        raise LookupError("UNIMPLEMENTED")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def prepare(self, number: int, body: Json) -> tuple[bytes, list[tuple[str, str]]] | None:
        """The message and its metadata, None where the input does not fit it."""
        try:
            data: bytes = self._json.ParseDict(body, self._request()).SerializeToString()
        except (self._json.ParseError, TypeError, ValueError):
            return None
        return data, [(REQUEST_ID.lower(), str(number)), *self._metadata]

    def ask(self, prepared: tuple[bytes, list[tuple[str, str]]] | None, answer: Answer) -> None:
        """One call. Everything that may go wrong is the answer's status."""
        answer.start = now()
        if prepared is None:
            answer.finish("garbled")
            return
        try:
            reply = self._call(prepared[0], self._timeout_s, prepared[1])
            answer.done = answer.byte = now()
            answer.sent = answer.start
            answer.bytes = len(reply)
            found = self._json.MessageToDict(self._reply.FromString(reply), preserving_proto_field_name=True)
            answer.piece(answer.done, decision(found, self._answer_path))
            answer.finish()
        except self._grpc.RpcError as error:
            late = error.code() is self._grpc.StatusCode.DEADLINE_EXCEEDED
            answer.finish("timeout" if late else "error")
        except Exception:  # protobuf's own errors share no base class
            answer.finish("garbled")


def _below(name: str, files: Mapping[str, Any]) -> set[str]:
    """A file and all that it needs, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        at = waiting.pop()
        if at not in found and at in files:
            found.add(at)
            waiting += files[at].dependency
    return found


def _messages(protos: bytes, method: str) -> tuple[Any, Any]:
    """Classes of a method's request and reply. Raises ProbeError LAT-E04."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    service, _, name = method[1:].partition("/")
    try:
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(protos).file:
            pool.Add(file)
        found = pool.FindServiceByName(service).methods_by_name[name]
        return message_factory.GetMessageClass(found.input_type), message_factory.GetMessageClass(found.output_type)
    except Exception as error:  # protobuf's own errors share no base class
        text = " ".join(str(error).split())[:200]
        remedy = "用 protoc --include_imports --descriptor_set_out 重新生成 protos，并核对 method"
        raise ProbeError("LAT-E04", f"接口描述里没有 {method}：{text}", remedy) from None
