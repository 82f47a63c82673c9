"""How the case.yaml of a demonstration begins. It must never name a real project."""

from __future__ import annotations

from collections.abc import Sequence


def heading(scenario: int, theme: str, project: str, content: Sequence[str], version: str) -> str:
    """Everything of a demonstration's case.yaml before its commitments; `version` says what stands there."""
    return f"""# 演示案卷:场景 {scenario}“{theme}”。所有数据都由程序生成,不是任何真实项目。
yanshou: 1
list: wuhan-2024
scenario: {scenario}
mode: demo
report: {{number: DEMO-S{scenario:02d}-0001}}
project:
  name: 演示项目:{project}
  lead: {{name: 演示单位(虚构)}}
evaluator: {{name: 演示评测机构(虚构), address: 本机, people: [{{name: 甲, role: tester}}, {{name: 乙, role: reviewer}}]}}
client: {{name: 演示委托方(虚构), contact: 无}}
target: {{kind: simulator, site: 本机, version: {version}, condition: 内置标准器}}
acceptance:
  content: [{", ".join(content)}]
  method: {{environment: 本机, tools: yanshou 内置标准器, steps: 见测试计划, samples: 见测试计划}}
"""
