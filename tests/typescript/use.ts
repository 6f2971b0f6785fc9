// What somebody writes against the types generated for tests/apps/documented.py.
import createClient from "openapi-fetch";

import type { paths } from "./api";

const client = createClient<paths>({ baseUrl: "http://localhost:8000" });

export async function names(): Promise<string[]> {
    await client.POST("/things", { body: { name: "spoon", price: "2.50", colour: "blue", words: ["for", "soup"] } });
    const { data, error } = await client.GET("/things", {
        params: { query: { page: 2, search: "spoon", amount__gte: 3, ordering: ["name"] } },
    });
    if (error !== undefined) {
        throw new Error("no things");
    }
    const count: number = data.count;
    return count > 0 ? data.results.map((thing) => thing.name) : [];
}

export async function rename(id: number): Promise<number | undefined> {
    const { data } = await client.PATCH("/things/{id}", { params: { path: { id } }, body: { name: "fork", version: 1 } });
    return data?.version;
}

export async function total(): Promise<number | undefined> {
    const { data } = await client.GET("/reports");
    return data?.total;
}

export async function wrong(): Promise<void> {
    // @ts-expect-error a thing must have a price
    await client.POST("/things", { body: { name: "spoon" } });
    // @ts-expect-error there is no such colour
    await client.POST("/things", { body: { name: "spoon", price: "2.50", colour: "green" } });
    // @ts-expect-error a change must name the version that it is based on
    await client.PATCH("/things/{id}", { params: { path: { id: 1 } }, body: { name: "fork" } });
    // @ts-expect-error there is no such path
    await client.GET("/thinks");
}
