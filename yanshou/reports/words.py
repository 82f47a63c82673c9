"""How the names that instruments give their own fields, and the words in these, are printed. Others are printed as they are.

A name has one meaning in all instruments, but for OF_ONE_INSTRUMENT; the order is that of the columns of a list.
"""

from __future__ import annotations

FIELD_WORDS = {
    # devices
    "": "", "device_id": "设备", "name": "名称",
    "status": "状态", "reason": "理由", "access": "接入", "gateway": "网关", "messages": "消息",
    "distinct_values": "不同值", "ids": "标识", "counted": "计入", "duplicate": "重复", "ghost": "未见", "stale": "不在线",
    "unregistered": "未登记", "excluded": "不计", "devices": "逐台设备", "devices_listed": "列出的设备",
    "devices_total": "设备总数", "register_rows": "清册行数", "seen_by_source": "各来源见到",
    "baseline_date": "基线日期", "baseline_ids": "基线设备数", "positions": "定位记录", "serial": "序列号", "client_id": "客户端号",
    # model
    "different_answers": "不同的答案", "tokens_median": "每个答案的词元(中位数)", "upload_p50_ns": "上传用时(中位数)/ns",
    "pool": "输入池", "lines": "行数", "common": "共同的开头", "loop": "发问方式", "channels": "通道", "modes": "功耗模式",
    "model_sha256": "模型 SHA-256", "loadgen": "MLPerf LoadGen", "queries": "提问次数", "failed": "没有答好",
    "validity": "它的结论", "percentile": "分位", "estimate_ns": "提前停止估计/ns", "own_estimate_ns": "由本仪器的时刻/ns",
    "uplink": "上行监听", "watched": "车端地址", "share_with_arrivals": "有包传来的请求(占比)", "packets_own": "测量连接的包数",
    "packets_other": "他人的包数", "dropped": "内核丢弃", "uplink_remotes": "上行对端", "remote": "对端", "ports": "协议/端口",
    "remotes_total": "对端总数",
    "packets": "包数", "requests": "有往来的请求", "packets_out": "每请求出/包", "packets_in": "每请求入/包",
    "bytes_out": "每请求出/字节", "bytes_in": "每请求入/字节", "interface": "接口",
    "format": "格式", "tensors": "张量数", "stored_elements": "存储的元素", "types": "类型", "nominal": "标称",
    "vocabulary": "词表", "experts": "专家", "files": "文件", "engines": "引擎", "architecture": "结构",
    "binding": "在用的就是计数的，凭", "reproduced": "答案重现", "held": "服务进程持有文件", "declared": "声明",
    # boundary, area, coverage
    "covered": "覆盖", "cells": "格数", "hit_cells": "有定位的格", "share": "占比", "fixes": "定位数",
    "terminals": "终端数", "days": "天数", "hull_cells": "外包内的格", "busiest_terminal": "到格最多的终端", "alone": "只有它到过",
    "code": "原因码",
    "streets": "逐个街道", "cell_m": "格边长/m", "recognition": "覆盖的认定", "track": "轨迹", "least": "最低要求",
    "rows": "行数", "valid_fixes": "有效定位", "inside_fixes": "界线内的定位", "boundary_sha256": "边界文件 SHA-256",
    "crs": "坐标系", "polygons": "面数", "holes": "洞数", "vertices": "顶点数", "check_point": "检查点", "offset_m": "偏差/m",
    "area_m2": "椭球面积/m2", "visited": "现场核验",
    # sme.level
    "enterprises": "逐家企业", "place": "出处", "uscc": "统一社会信用代码", "level_before": "改造前等级",
    "points_before": "改造前得分", "level_after": "改造后等级", "points_after": "改造后得分", "scenes_at_level_2": "二级以上场景数",
    "unconfirmed": "未经确认的项数", "edition": "评测指标", "standing": "数值的可靠程度", "workbooks": "评测表",
    "levels_after": "改造后各级家数",
    "enterprises_left_out": "不计的企业",
    # gnss
    "component": "分量", "horizontal": "水平", "vertical": "垂直", "motion": "运动", "static": "静态", "dynamic": "动态",
    "about": "误差相对于",
    "truth": "真值", "own mean": "自身均值", "start": "开始(UTC)", "sentence": "取用的语句", "dated": "日期来自",
    "stream": "数据", "systems": "解算所用系统号", "talkers": "语句来源", "n": "n", "rms": "均方根", "upper": "95% 上界",
    "upper_bootstrap": "自助法上界", "bias": "均值", "std": "标准差", "cep50": "CEP50", "p50": "P50", "p95": "95%", "max": "最大",
    "n_effective": "有效样本数", "epochs_mm": "逐历元的误差/mm", "sessions_mm": "时段平均的误差/mm",
    "shares": "历元", "expected": "应有", "fixed": "固定", "float": "浮点", "other": "其他解", "no_position": "无位置",
    "missing": "缺失", "longest_outage_s": "最长中断/s", "longest_unfixed_s": "最长未固定/s", "left_out": "不参加判定的历元",
    "pause": "停顿", "initialise": "初始化", "unknown": "无法比较的历元", "to_first_fix_s": "首次固定用时/s", "pauses": "停顿次数",
    "age_s": "差分龄期/s", "given": "给出次数", "delay": "到达延迟", "delay_median_s": "中位/s", "delay_p01_s": "P1/s",
    "delay_p99_s": "P99/s", "link": "线路", "bytes": "字节", "baud": "波特率", "load": "负载", "load_peak": "负载峰值",
    "losses": "断开次数", "away_s": "断开时长/s", "gaps": "空隙", "longest_gap_s": "最长空隙/s", "full_buffer": "缓冲溢出",
    "foreign": "外来发送者", "diagnosis": "诊断(不扣除)", "along_mean_mm": "沿迹均值/mm", "across_mean_mm": "横迹均值/mm",
    "speed_mean": "平均速度/(m/s)", "skew_ms": "时间偏差/ms", "along_offset_mm": "沿迹常偏/mm",
    "along_left_std_mm": "扣除后沿迹标准差/mm", "challenge": "位移激励", "utc": "移好(UTC)", "way_mm": "移动(东、北、高)/mm",
    "gone_mm": "输出走了/mm", "settled": "到位", "ablations": "关断试验", "ablation": "关断试验", "source": "来源",
    "due": "应有历元",
    "came": "得到历元", "fixed_with_without": "固定率(开、关)", "spread_mm_with_without": "离散/mm(开、关)",
    "names_beidou": "关断时仍说用北斗",
    # chain
    "key": "公钥", "height": "区块高度", "hosts": "主机", "listed_by": "列出它的节点数", "operator": "运营单位", "role": "角色",
    "sealer": "共识", "observer": "观察", "seals": "签过的区块", "asked": "问过的节点", "nodes": "逐个节点", "blocks": "区块",
    "consensus": "共识节点", "in_sync": "同步的节点", "operators": "运营单位", "registered": "登记的节点", "hash": "区块哈希",
    "genesis": "创世区块哈希", "draw_hash": "抽样种子所取的区块哈希", "draw_height": "抽样种子所取的区块高度",
    "draw_salt": "抽样种子所取的评测主机随机数", "sample": "抽样复核",
    "drawn": "抽取", "good": "属实", "faults": "不属实", "signers": "签名的节点", "blocks_with_quorum": "签名够数的区块",
    "accounts_with_records": "有记录的账户", "unregistered_accounts": "未登记的账户", "transactions": "交易", "senders": "发送账户",
    "time_zone": "时区", "register_sha256": "清册 SHA-256", "sealers": "共识节点",
    # inspection
    "answers": "回答", "evidence": "证据", "file": "文件", "obtained_from": "取自", "obtained_at": "取得时间", "page": "页码",
    "id": "编号", "time": "时间", "method": "方法",
    "journal": "查验日志", "how": "查验方法", "confirmed": "复核时间", "head": "末端",
    # xr.frames, inspection of videos
    "frames": "帧数", "frames_of": "帧的出处", "window": "浏览器窗口", "xr": "XR 会话", "browser": "浏览器", "agent": "浏览器标识",
    "renderer": "渲染器", "reports": "报告份数", "log": "日志", "unshown": "未显示的帧", "fps_mean": "平均帧率/fps",
    "fps_slowest_1_percent": "最慢 1% 帧的帧率/fps", "frame_ms_p99": "P99 帧时间/ms", "fps_of_p99": "P99 帧时间对应的帧率/fps",
    "stalls": "卡顿次数", "longest_ms": "最长一帧/ms", "stalled_share": "卡顿占时", "inputs": "输入次数",
    "event_timing_p50_ms": "浏览器自报的中位/ms", "motion_to_photon": "动显时延", "camera_fps": "相机帧率/fps",
    "least_ms": "最小/ms", "median_ms": "中位/ms", "greatest_ms": "最大/ms", "resolution_ms": "相机一帧/ms",
    "no_more_than_ms": "至多/ms",
    # rtt and its kin, load
    "planned": "计划", "sent": "发出", "received": "收到", "lost": "丢失", "late": "迟到", "duplicates": "重复应答",
    "reordered": "乱序", "warmup": "预热", "size": "大小/字节", "schedule": "发送节奏", "schedule_text": "节奏说明",
    "poisson": "泊松随机", "periodic": "等间隔", "stamps": "内核时间戳", "t1_kernel": "发出", "t4_kernel": "收到",
    "sender_late_ns": "发送端晚于计划/ns", "longest_gap_ns": "最长发送空隙/ns", "clock_step_ns": "时钟跳变/ns",
    "clock_readings": "时钟对读次数", "judged": "判定所取", "net": "净往返", "gross": "总往返", "from_schedule": "自计划时刻起",
    "application": "应用层", "judged_why": "为何如此取", "one_way": "单向时延", "residence_ns": "远端滞留/ns",
    "follow_up": "远端发出时刻有内核戳", "p99": "P99", "p99.9": "P99.9", "includes": "时间包含", "socket": "套接字",
    "statuses": "应答状态", "connections": "连接数", "kept": "计划保持", "used": "实际用过", "waited": "等待连接的请求",
    "tls": "TLS", "http": "HTTP 版本", "client": "客户端", "qos": "QoS", "granted": "代理给的", "users": "虚拟用户",
    "done": "完成", "succeeded": "成功", "planned_per_s": "计划速率/s⁻¹", "succeeded_per_s": "成功速率/s⁻¹", "ramp": "爬升段",
    "own_late_ns": "负载端自身延迟/ns", "workers": "负载进程", "worker": "进程", "offset_ns": "时钟偏差/ns",
    "bound_ns": "偏差的界/ns", "locust": "locust 版本",
    # model.latency, model.actuation
    "open": "开环(按计划时刻)", "closed": "闭环(答完再问)", "ok": "正常", "triggers": "触发次数", "unmatched": "没有执行的触发",
    "orphans": "没有触发的执行", "dbc_sha256": "DBC 文件 SHA-256",
    # records
    "columns": "各列", "export_sha256": "导出文件 SHA-256", "first_time": "最早时间", "last_time": "最晚时间",
    "last_seven_days_share": "最后七天占比", "normalise": "关键列的规范化", "nfkc": "全角转半角(NFKC)", "strip": "去首尾空白",
    "top_multiplicity": "同一关键列最多出现次数",
    # chain
    "claims_sm": "节点自称国密", "suites": "密码套件", "sm3-sm2": "SM3 与 SM2", "keccak256-secp256k1": "Keccak-256 与 secp256k1",
    "sha256-p256": "SHA-256 与 P-256", "none": "无", "wrong_at": "签名不符的区块", "address": "地址", "adopted": "采用的区块链",
    "counter": "节点自报的计数", "blockNumber": "区块高度", "failedTransactionCount": "失败的交易",
    "transactionCount": "交易", "most_by_one_sender_in_one_day": "一个账户一天最多", "original_files": "原件",
    "records": "记录", "top_senders": "发送最多的账户", "controllers_of_several": "名下有几家的控制人",
    "most_of_one_controller": "一个控制人名下最多", "records_of_unregistered_accounts": "未登记账户的记录",
    # inspection, bim.ids
    "kind": "种类", "sha256": "SHA-256", "value": "值", "first": "首见", "last": "末见", "models": "模型",
    "instances": "实例数", "most": "最多的实体", "written": "写出时间", "system": "写出软件", "schema": "模式版本",
    "specifications": "逐条规格", "specification": "规格", "model": "模型", "applicable": "适用", "passed": "通过",
    "failing": "不通过的实体", "ids_sha256": "IDS 文件 SHA-256",
}  # fmt: skip

OF_ONE_INSTRUMENT = {
    "bim.ids": {"failed": "不通过"},
    "inspection": {"records": "逐条回答", "stream": "存为"},
    "records": {"key": "关键列", "upper": "转大写"},
    "rtt": {"key": "密钥编号"},
}
"""Names that mean something else to one instrument."""

VERBATIM = frozenset({"columns", "key"})
"""Fields whose values are names that a project gave: never put into other words."""


def word(name: str, probe: str = "") -> str:
    """How a name, or a word that the instrument `probe` uses, is printed."""
    return OF_ONE_INSTRUMENT.get(probe, {}).get(name) or FIELD_WORDS.get(name, name)
