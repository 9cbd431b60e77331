import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/**
 * Scores rows with a running `freshet serve`, by nothing but Java's own library.
 *
 * usage: java Score.java http://127.0.0.1:9465 '{"user_id": 712, "domain": "1"}' ...
 */
public class Score {
    private final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(2)).build();
    private final URI address;

    public Score(String address) {
        this.address = URI.create(address + "/score");
    }

    /** The answer's JSON, {"version": N, "tasks": [...], "scores": [[...], ...]}; rows are JSON objects. */
    public String score(String... rows) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(address).timeout(Duration.ofSeconds(2))
            .POST(HttpRequest.BodyPublishers.ofString("{\"rows\":[" + String.join(",", rows) + "]}")).build();
        HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200)
            throw new IllegalArgumentException(answer.body().trim());
        return answer.body().trim();
    }

    public static void main(String[] arguments) throws Exception {
        String[] rows = java.util.Arrays.copyOfRange(arguments, 1, arguments.length);
        System.out.println(new Score(arguments[0]).score(rows));
    }
}
