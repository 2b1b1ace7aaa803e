"""A local edge runtime that speaks Greengrass IPC to the stock SDK."""
