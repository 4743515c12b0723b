"""What contest harnesses import ahead of a program, and LeetCode's node classes."""

IMPORTS = """
import bisect, collections, copy, datetime, functools, heapq, itertools, json, math, operator, os, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
from builtins import *

class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next

class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right
"""
