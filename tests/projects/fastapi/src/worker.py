import jinja2
from fastapi import FastAPI, Request
from pydantic import BaseModel
from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        import asgi

        return await asgi.fetch(app, request.js_object, self.env)


app = FastAPI()
environment = jinja2.Environment()
template = environment.from_string("Hello, {{ name }}!")


class Item(BaseModel):
    name: str
    description: str | None = None
    price: float
    tax: float | None = None


@app.get("/")
async def root():
    return {"message": "This is an example of FastAPI with Jinja2 - go to /hi/<name> to see a template rendered"}


@app.get("/hi/{name}")
async def say_hi(name: str):
    return {"message": template.render(name=name)}


@app.get("/env")
async def env(req: Request):
    return {"message": "Here is an example of getting an environment variable: " + req.scope["env"].MESSAGE}


@app.post("/items/")
async def create_item(item: Item):
    return item


@app.put("/items/{item_id}")
async def update_item(item_id: int, item: Item, q: str | None = None):
    result = {"item_id": item_id, **item.model_dump()}
    if q:
        result.update({"q": q})
    return result


@app.get("/sync/{item_id}")
def read_item(item_id: int):
    return {"item_id": item_id}
