"""What a JavaScript global scope is to Python code: the objects behind `js`, and how values cross the boundary.

A JavaScript value is held as Pyodide would hand it to Python: undefined is None, null is `jsnull`, numbers are int or
float, strings are str, bigints are int, everything else is an instance of `JsProxy`. A Python object that JavaScript
holds (Pyodide's PyProxy) is the Python object itself.
"""
