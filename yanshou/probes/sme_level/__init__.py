"""Scores enterprises' 数字化水平 from what two persons confirmed on site. It must never take a self-report for a finding."""
