"use strict";

{
    const page = document.getElementById("docs");
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
    follow();
    dark.addEventListener("change", follow);

    window.SwaggerUIBundle({
        domNode: page,
        url: new URL(page.dataset.url, document.baseURI).href,
        deepLinking: true,
        displayRequestDuration: true,
        // What somebody typed under "Authorize" is forgotten with the page.
        persistAuthorization: false,
        tryItOutEnabled: true,
        // No badge, for which the document would be sent to somebody else.
        validatorUrl: null,
    });
}
