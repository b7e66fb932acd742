"""Durable Objects, in the process of the worker that defines their classes.

objects   -> instance -> gate, state       which objects are awake, one object, who may enter, its `ctx`
namespace -> ids                           `env.<NAMESPACE>`, and its stubs
storage   -> database, sql, synckv, values `ctx.storage`: one SQLite file for each object
"""
